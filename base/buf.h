/* A growing byte buffer on the heap. */
#pragma once
#include "base/str.h"

struct buf {
	char *p; /* owned */
	size_t len, size;
};

/* An all-zero buf is an empty one. Frees the memory and leaves it empty. */
void buf_fini(struct buf *b);
/* Makes room for n more bytes and returns where they go; the caller adds what it wrote to b->len. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_cstr(struct buf *b, const char *cstr);
void buf_add_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Drops the first n bytes. */
void buf_drop(struct buf *b, size_t n);

static inline struct str buf_str(const struct buf *b)
{
	return (struct str){b->p, b->len};
}
