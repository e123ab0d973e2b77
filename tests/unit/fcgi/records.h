/* Writes what a web server sends: FastCGI records, right ones and wrong ones. Knows the format from the specification only. */
#pragma once
#include "base/buf.h"

enum { BEGIN = 1, ABORT = 2, PARAMS = 4, STDIN = 5, KEEP = 1, RESPONDER = 1 };

static inline void put_record_padded(struct buf *b, unsigned type, unsigned id, struct str content, unsigned char padding)
{
	const char zeros[255] = {0};
	const unsigned char header[8] = {1,
					 (unsigned char)type,
					 (unsigned char)(id >> 8),
					 (unsigned char)id,
					 (unsigned char)(content.len >> 8),
					 (unsigned char)content.len,
					 padding,
					 0};

	buf_add(b, header, sizeof(header));
	buf_add_str(b, content);
	buf_add(b, zeros, padding);
}

static inline void put_record(struct buf *b, unsigned type, unsigned id, struct str content)
{
	put_record_padded(b, type, id, content, 0);
}

static inline void put_begin(struct buf *b, unsigned id, unsigned role, unsigned flags)
{
	const char body[8] = {(char)(role >> 8), (char)role, (char)flags};

	put_record(b, BEGIN, id, (struct str){body, sizeof(body)});
}

static inline void put_length(struct buf *b, size_t len)
{
	const unsigned char four[4] = {(unsigned char)(0x80 | len >> 24), (unsigned char)(len >> 16), (unsigned char)(len >> 8),
				       (unsigned char)len};

	if (len < 128)
		buf_add_char(b, (char)len);
	else
		buf_add(b, four, sizeof(four));
}

static inline void put_pair_str(struct buf *b, struct str name, struct str value)
{
	put_length(b, name.len);
	put_length(b, value.len);
	buf_add_str(b, name);
	buf_add_str(b, value);
}

static inline void put_pair(struct buf *b, const char *name, const char *value)
{
	put_pair_str(b, str_from(name), str_from(value));
}

/* As many records of one type as the bytes need, and the empty one that ends the stream. */
static inline void put_stream(struct buf *b, unsigned type, unsigned id, struct str bytes)
{
	while (bytes.len > 0) {
		struct str piece = {bytes.p, bytes.len < 65535 ? bytes.len : 65535};

		put_record(b, type, id, piece);
		bytes = str_skip(bytes, piece.len);
	}
	put_record(b, type, id, STR(""));
}

/* A whole request with one parameter, TEST=name. */
static inline void put_request(struct buf *b, unsigned flags, const char *name, struct str body)
{
	struct buf params = {0};

	put_pair(&params, "TEST", name);
	put_begin(b, 1, RESPONDER, flags);
	put_stream(b, PARAMS, 1, buf_str(&params));
	put_stream(b, STDIN, 1, body);
	buf_fini(&params);
}
