/* One place of the load: a connection, the request on it, the answer that comes, and how the reader behaves. */
#pragma once
#include "base/list.h"
#include "bench/http.h"
#include "bench/tally.h"

enum { SECOND_US = 1000000, TRICKLE_US = 100000 }; /* a slow reader reads so often */

/* Those that wait for equally long: first in, first due. */
struct queue {
	struct list clients;
	uint64_t wait_us;
};

struct visitor {
	char cookie[HTTP_COOKIE_SIZE]; /* name=value; empty until an answer sets it */
};

struct load {
	struct options options;
	struct tally tally;
	int epoll_fd;
	uint64_t began_us;
	bool stop;                                  /* begin nothing more */
	struct queue thinking, after_fault, paused; /* of `wait` */
	struct queue deadlines;                     /* of `deadline` */
	struct visitor *visitors;                   /* owned */
};

struct waiting {
	struct list node;
	uint64_t due_us;
};

struct client {
	struct load *load; /* borrowed */
	size_t index;
	uint64_t number; /* of its request */
	int fd;          /* -1: no connection */
	bool busy, connected, writing, reading, stopped_once;
	uint64_t start_us, last_text_us;
	size_t n_read; /* bytes of this answer */
	struct waiting wait, deadline;
	struct buf out; /* owned; the request */
	size_t out_at;
	struct http http;
	struct check check;
	struct buf body; /* owned; of plain answers and errors */
};

void client_init(struct client *c, struct load *load, size_t index);
void client_fini(struct client *c);
/* Begins the next request. */
void client_start(struct client *c);
/* epoll says that its socket has something. */
void client_ready(struct client *c, uint32_t events);
/* Whoever of these queues is due goes on. Returns when the next one is due, UINT64_MAX if none waits. */
uint64_t clients_go_on(struct load *load);
/* Breaks off what is still going on. */
void client_abandon(struct client *c);
