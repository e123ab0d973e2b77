/* What the tests of accounts share: three users, statements that are held up so that others meet them half-way. */
#pragma once
#include "db/audit.h"
#include "db/credentials.h"
#include "tests/unit/db/fixture.h"

#define ANNA    "00000000-0000-7000-8000-00000000000a" /* an administrator */
#define BERT    "00000000-0000-7000-8000-00000000000b"
#define CARL    "00000000-0000-7000-8000-00000000000c"
#define NOBODY  "00000000-0000-7000-8000-00000000000f" /* has no row */
#define LOGIN_1 "10000000-0000-7000-8000-000000000001"
#define LOGIN_2 "10000000-0000-7000-8000-000000000002"
#define LOGIN_3 "10000000-0000-7000-8000-000000000003"

/* Anna, from 192.0.2.1. */
extern const struct audit_who by_anna;

/* For cmocka: of the program, and of each test, which finds a pool of 24 connections and no rows but those three users. */
int make_accounts(void **state);
int make_people(void **state);
/* A query of this test that is still to be started, as by users_get(w->pool, ask_begin(w, a), …); it runs and must end well. */
void expect_rows(struct world *w, struct ask *a, size_t n_rows);
/* Hashes as the tables want them; the same number gives the same. Good until 64 others were made. */
struct str hash_of(unsigned n);
/* A login that ends tomorrow. */
void insert_login(struct world *w, const char *id, const char *user_id);

/* One look-up and what it found; its texts are its own. */
struct lookup {
	struct credential c;
	bool done, found;
	int err;
	uint64_t began_us, took_us;
	struct credential_holder holder;
	char texts[5][64];
};
/* To be started, as by credentials_find_key(…, lookup_begin(&l), …); what was found before is forgotten. */
struct credential *lookup_begin(struct lookup *l);
/* One by itself, which must not fail; good until the next. */
const struct lookup *find_login(struct world *w, const char *login_id, const char *user_id);
const struct lookup *find_key(struct world *w, struct str hash);

/* A statement of a transaction that goes on until let_go: sql, which ends with a semicolon, has happened but is not committed. */
struct holder {
	struct ask ask;
	char sql[1024];
	struct statement stmt;
};
void hold(struct world *w, struct holder *h, const char *sql);
/* Waits until that many statements wait for a lock. */
void wait_blocked(struct world *w, int64_t n);
void let_go(struct world *w, struct holder *h);
