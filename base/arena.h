/* Memory of one request or turn: many small allocations, one free at the end. */
#pragma once
#include "base/str.h"

struct arena_chunk;
struct arena_cleanup;

struct arena {
	struct arena_chunk *chunks;     /* owned, newest first */
	struct arena_cleanup *cleanups; /* owned, run newest first by arena_fini */
};

/* An all-zero arena is an empty one. */
void arena_fini(struct arena *a);
/* Zeroed, aligned for any type; lives until arena_fini. */
void *arena_alloc(struct arena *a, size_t size);
/* Copies; the copy is NUL-terminated as well. */
struct str arena_copy(struct arena *a, struct str s);
const char *arena_cstr(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Calls fn(thing) in arena_fini, before the memory goes: for resources that are not memory of this arena. */
void arena_on_free(struct arena *a, void (*fn)(void *thing), void *thing);
