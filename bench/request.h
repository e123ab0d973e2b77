/* Makes the requests: the usual one, and the wrong ones that must be refused. */
#pragma once
#include "base/buf.h"

struct options;

/* A request that must be refused, and with what. */
struct wrong {
	const char *what; /* for samples */
	const char *method, *path, *type;
	const char *body; /* a template */
	char fill;        /* if not 0: the body is n_fill of these */
	size_t n_fill;
	size_t claim_bytes; /* if not 0: Content-Length says so, and no body follows */
	const char *raw;    /* if not NULL: this is sent, and nothing else */
	int status;         /* what it must get */
};

extern const struct wrong wrongs[];
extern const size_t n_wrongs;

/* Appends request number i. cookie (name=value) may be empty. In bodies @i@ stands for the number, @a@ for the agent. */
void request_add(struct buf *out, const struct options *o, uint64_t i, const char *cookie);
void request_add_wrong(struct buf *out, const struct options *o, uint64_t i, const struct wrong *wrong);
