/* Host names to numeric addresses, off the loop: getaddrinfo on libuv's worker threads, one look-up at a time per name
 * however many wait for it. Addresses are kept for half a minute, and given out for five more while they are looked up again; failures
 * are kept for a second. */
#pragma once
#include "base/op.h"
#include "base/list.h"
#include "base/str.h"

struct loop;
struct resolver;

enum { RESOLVE_MAX_ADDRESSES = 4, RESOLVE_SIZE = RESOLVE_MAX_ADDRESSES * 46, RESOLVE_HOST_SIZE = 256 };

struct resolver *resolver_new(struct loop *loop);
/* Nobody may wait any more; a look-up in flight is let go. */
void resolver_free(struct resolver *r);

/* One waiter; storage belongs to the caller. */
struct resolve {
	struct op op;
	char addresses[RESOLVE_SIZE]; /* numeric, best first, with commas between; valid in done if err is 0 */
	/* the resolver's own: */
	struct list node;
	struct resolver *resolver;
};

/* Looks host up (a numeric address is its own answer). Set r->op.done first; op.deadline_us 0 means five seconds.
 * op.err: -ERR_UPSTREAM if the name has no address, -ERR_OVERLOADED if we had no descriptor to look it up with, -ERR_UPSTREAM_TIMEOUT after the deadline. */
void resolve_start(struct resolver *resolver, struct resolve *r, struct str host);
