/* What the load generator is asked to do: its command line. */
#pragma once
#include "base/buf.h"
#include "bench/check.h"

enum mode {
	MODE_STREAMS, /* streamed answers, every event checked */
	MODE_PLAIN,   /* plain answers over connections that are kept */
	MODE_GET,     /* GETs over connections that are kept */
	MODE_WRONG,   /* requests that must be refused, each with a proper error */
};

/* The lines of a file that are not empty. */
struct lines {
	struct buf text;
	struct str *line; /* n of them, owned */
	size_t n;
};

struct options {
	enum mode mode;
	struct check_plan plan;
	uint16_t port;
	const char *path, *body, *headers, *agent, *expected; /* borrowed from argv or literals; body is a template, see request.h */
	size_t n;                                  /* streams, or connections */
	struct lines bearers;                      /* request i has number i of them, and after the last the first */
	struct lines paths;                        /* the same, of GETs */
	size_t n_cookies;                          /* visitors that take turns; 0: each request is a new one's */
	uint64_t ramp_us, duration_us, warmup_us, think_us, timeout_us;
	size_t leave_after, leave_up_to; /* close after so many events */
	size_t stop_after_bytes;         /* a reader that stops there for stop_us, once */
	uint64_t stop_us;
	size_t bytes_per_s; /* a reader that takes no more; 0: all there is */
	size_t receive_buffer;
};

/* False, and a sentence on stderr, if the command line cannot be understood. */
MUST_CHECK bool options_read(struct options *o, int argc, char **argv);
void options_fini(struct options *o);
void options_print_usage(void);
