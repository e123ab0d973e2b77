/* Who holds a login or a key. Look-ups that wait together are asked together, up to CREDENTIALS_MAX in one statement: when everybody comes
 * at once, after a restart say, they need a few statements, and turns need not wait behind them for a connection. */
#pragma once
#include "base/list.h"
#include "base/op.h"
#include "db/keys.h"

struct conf;
struct credentials;
struct credential_batch;
struct loop;
struct pool;

enum { CREDENTIALS_MAX = 128 };

/* One look-up; embedded in whoever waits, op.done set by it: each request has one at most, so no more wait than requests are let in. op.err as
 * for query_start; not to be found is no error. */
struct credential {
	struct op op;
	bool found; /* valid in done; no: nobody knows it, it has ended or expired, or its user may not log in any more */
	/* its own: */
	struct str key, user_id;        /* borrowed until done; key: a login's id, or the hash of an API key */
	struct credential_batch *batch; /* while it is sent */
	struct list node;
	uint64_t give_up_us; /* while it waits to be sent */
	size_t place, row;   /* in the batch; of its rows */
};

/* All pointers are borrowed until credentials_free. */
struct credentials *credentials_new(struct loop *loop, struct pool *pool, const struct conf *conf);
/* Nobody may wait any more. NULL is fine. */
void credentials_free(struct credentials *credentials);

/* The login, which must be this user's. */
void credentials_find_login(struct credentials *credentials, struct credential *c, struct str login_id, struct str user_id);
/* The key; that it was used is written down. */
void credentials_find_key(struct credentials *credentials, struct credential *c, struct str hash);

/* Of one that was found; in done only. */
struct credential_holder {
	struct str id; /* of the login or the key */
	struct str user_id, username, role;
	struct str agents;    /* of a key that opens some agents only: JSON array of their ids; else empty */
	int64_t expires_in_s; /* of a key; 0: it does not expire */
	struct key_limits limits; /* of a key */
};
struct credential_holder credential_holder(const struct credential *c);
