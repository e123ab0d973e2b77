/* What the commands about users and tokens share: the database, statements of db/ run one by one, and their errors as sentences. */
#pragma once
#include "base/conf.h"
#include "base/uuid.h"
#include "ctl/pg_sync.h"

struct args;
struct statement;

struct accounts {
	struct conf conf;
	struct pg_sync *db; /* owned; NULL: not open */
	struct pg_sync_error error;
};

/* The values of $1 to $4 of a statement that writes an audit entry: nobody who is logged in, but the operator. */
#define ACCOUNTS_WHO NULL, "llmchatctl", "local", ""

/* Loads the configuration and connects. EXIT_FINE, or another exit status after telling the user. accounts_close(a) either way. */
MUST_CHECK int accounts_open(struct accounts *a, const struct args *args);
void accounts_close(struct accounts *a);

/* Runs a statement with all its n_params parameters (NULL: NULL). NULL after telling the user why it failed; else free with pg_sync_free. What
 * PostgreSQL says beside its message is left out: it may show values, and some are secret. */
MUST_CHECK struct pg_result *accounts_run(struct accounts *a, const struct statement *stmt, size_t n_params, const char *const *params);
/* The same for BEGIN and COMMIT. */
MUST_CHECK bool accounts_do(struct accounts *a, const char *sql);

/* One user, of a row of users_row's columns. */
struct account {
	struct uuid id;
	char username[64 * 4 + 1], role[8];
	bool is_active;
};
enum { ACCOUNT_ID = 1, ACCOUNT_USERNAME, ACCOUNT_EMAIL, ACCOUNT_ROLE, ACCOUNT_IS_ACTIVE, ACCOUNT_CREATED_AT, ACCOUNT_LAST_LOGIN_AT };

/* By name, in any letter case: 1 and *user, 0 if there is none, -1 after telling the user why nobody knows. */
MUST_CHECK int accounts_find(struct accounts *a, const char *username, struct account *user);
/* The same; EXIT_FAILED after telling the user, also if there is none. */
MUST_CHECK int accounts_need(struct accounts *a, const char *username, struct account *user);

/* Writes to standard output past stdio, whose buffer would keep a copy. EXIT_FINE, or EXIT_FAILED after telling the user. */
MUST_CHECK int accounts_print_secret(struct str text);
