/* The growing byte buffer. */
#include "sim/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(void)
{
	fputs("llmchat-provider-sim: out of memory\n", stderr);
	abort();
}

void *must_alloc(size_t size_bytes)
{
	void *memory = calloc(1, size_bytes);

	if (!memory)
		out_of_memory();
	return memory;
}

void buf_reserve(struct buf *buf, size_t extra_bytes)
{
	size_t size = buf->size ? buf->size : 256;
	char *data;

	if (buf->size - buf->len >= extra_bytes)
		return;
	while (size - buf->len < extra_bytes)
		size *= 2;
	data = realloc(buf->data, size);
	if (!data)
		out_of_memory();
	buf->data = data;
	buf->size = size;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
	if (!len)
		return;
	buf_reserve(buf, len);
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
}

void buf_puts(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_list again;
	int len;

	va_start(args, format);
	va_copy(again, args);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	if (len > 0) {
		buf_reserve(buf, (size_t)len + 1);
		vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
		buf->len += (size_t)len;
	}
	va_end(again);
}

void buf_add_json(struct buf *buf, const char *text, size_t len)
{
	size_t plain_from = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buf_add(buf, text + plain_from, i - plain_from);
		plain_from = i + 1;
		if (c == '"')
			buf_puts(buf, "\\\"");
		else if (c == '\\')
			buf_puts(buf, "\\\\");
		else if (c == '\n')
			buf_puts(buf, "\\n");
		else
			buf_printf(buf, "\\u%04x", c);
	}
	buf_add(buf, text + plain_from, len - plain_from);
}

void buf_puts_json(struct buf *buf, const char *text)
{
	if (!text) {
		buf_puts(buf, "null");
		return;
	}
	buf_puts(buf, "\"");
	buf_add_json(buf, text, strlen(text));
	buf_puts(buf, "\"");
}

void buf_drop(struct buf *buf, size_t n_bytes)
{
	buf->len -= n_bytes;
	if (buf->len)
		memmove(buf->data, buf->data + n_bytes, buf->len);
}

void buf_fini(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){0};
}
