/* A growing byte buffer, and JSON text written into it. Out of memory ends the process. */
#ifndef SIM_BUF_H
#define SIM_BUF_H

#include <stddef.h>

struct buf {
	char *data; /* owned; not NUL-terminated */
	size_t len;
	size_t size;
};

/* Makes room for extra_bytes more without changing the length. */
void buf_reserve(struct buf *buf, size_t extra_bytes);

void buf_add(struct buf *buf, const void *data, size_t len);
void buf_puts(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Adds text as the inside of a JSON string, without the quotes. text must be UTF-8. */
void buf_add_json(struct buf *buf, const char *text, size_t len);

/* Adds a quoted JSON string, or null when text is NULL. */
void buf_puts_json(struct buf *buf, const char *text);

/* Drops the first n_bytes. */
void buf_drop(struct buf *buf, size_t n_bytes);

/* Frees the memory; the buffer is empty and usable again. */
void buf_fini(struct buf *buf);

/* malloc that ends the process instead of returning NULL; the memory is zeroed. */
void *must_alloc(size_t size_bytes);

#endif
