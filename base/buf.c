/* Growing byte buffer. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { FIRST_BYTES = 256 };

void buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){0};
}

char *buf_reserve(struct buf *b, size_t n)
{
	if (b->size - b->len < n) {
		size_t size = b->size ? b->size : FIRST_BYTES;

		while (size - b->len < n)
			size *= 2;
		b->p = mem_resize(b->p, size);
		b->size = size;
	}
	return b->p + b->len;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_reserve(b, n), p, n);
	b->len += n;
}

void buf_add_str(struct buf *b, struct str s)
{
	buf_add(b, s.p, s.len);
}

void buf_add_cstr(struct buf *b, const char *cstr)
{
	buf_add(b, cstr, strlen(cstr));
}

void buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	buf_reserve(b, (size_t)n + 1);
	va_start(args, fmt);
	vsnprintf(b->p + b->len, (size_t)n + 1, fmt, args);
	va_end(args);
	b->len += (size_t)n;
}

void buf_drop(struct buf *b, size_t n)
{
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->len - n);
	b->len -= n;
}
