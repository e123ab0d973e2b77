/* The parts that logging in takes; made by main.c. */
#pragma once
#include "base/password.h"
#include "db/logins.h"

struct conf;
struct credentials;
struct loop;
struct people;
struct pool;

struct auth {
	struct people *people;       /* owned, as all of these */
	struct credentials *credentials;
	struct worker *worker;
	struct passwords *passwords;
	struct first_admin *first_admin;
	struct login_limits limits;
};

/* Hashes once, so it belongs to start-up. pool, loop and conf are borrowed until auth_fini. */
void auth_init(struct auth *auth, struct loop *loop, struct pool *pool, const struct conf *conf);
/* Nobody may wait for a password any more. Also right for an all-zero auth. */
void auth_fini(struct auth *auth);
