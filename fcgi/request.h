/* The parameters of a request, read by libfcgi. Everything about libfcgi stays behind this file: it is only shown bytes that
 * the scanner has checked, in a scratch memfd, because on a socket it blocks, loses bytes and can freeze. */
#pragma once
#include "base/arena.h"

struct param {
	struct str name, value;
};

struct params {
	struct param *list; /* in the arena */
	size_t n;
};

/* Once at the start, before signal handlers of our own: libfcgi takes SIGTERM, SIGPIPE and SIGUSR1. */
void request_libfcgi_init(void);
/* Reads the concatenated content of PARAMS records into the arena. 0, or -1 if they are not well-formed. */
MUST_CHECK int request_read_params(struct str content, struct arena *arena, struct params *out);
/* Value of a parameter, the first if there are several; empty if there is none. */
struct str params_get(const struct params *params, const char *name);
/* How often it is there: nginx before 1.23 passes on a header that was sent twice as two parameters. */
size_t params_count(const struct params *params, const char *name);
