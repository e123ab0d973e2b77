/* Texts that this process keeps for itself: found by key, the least used forgotten first when they are too many or too large. */
#pragma once
#include "base/str.h"

enum { COPIES_MAX = 256, COPIES_MAX_BYTES = 16 * 1024 * 1024, COPIES_MAX_ONE = 4 * 1024 * 1024 };

/* Counted and immutable: whoever sends one need not copy it. */
struct copy_text {
	size_t n_refs, len;
	char p[];
};
/* With one reference for the caller. */
struct copy_text *copy_text_new(struct str s);
struct copy_text *copy_text_ref(struct copy_text *t);
void copy_text_unref(struct copy_text *t); /* NULL is fine */

struct copies;
struct copies *copies_new(void);
void copies_free(struct copies *copies); /* NULL is fine; who holds a reference may go on */
/* NULL if there is none, or it is too old; borrowed until the loop turn ends. */
struct copy_text *copies_find(struct copies *copies, struct str key, uint64_t now_us);
/* Keeps t until then, in the place of an older one, unless it is larger than COPIES_MAX_ONE. */
void copies_keep(struct copies *copies, struct str key, struct copy_text *t, uint64_t until_us);
size_t copies_count(const struct copies *copies);
size_t copies_bytes(const struct copies *copies);
