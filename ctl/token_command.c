/* Logins are made in one transaction, a thousand a statement, and the tokens printed once it has been committed. */
#include "ctl/token_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/jwt.h"
#include "base/mem.h"
#include "ctl/accounts.h"
#include "ctl/args.h"
#include "db/logins.h"
#include "db/text_array.h"
#include "db/users.h"

const char token_help[] =
	"token issue prints access tokens, one a line. Each has a login of its own, which ends when the token expires.\n"
	"  --user NAME    all tokens are for this user; without it each is for another one, load-0001, load-0002, ..., and those\n"
	"                 who are missing are made, without a password: for load tests\n"
	"  --count N      how many, 1 to 100000 (1)\n"
	"  --ttl SECONDS  how long they are valid, 60 to 2592000 (ACCESS_TOKEN_TTL)\n";

#define ADDRESS "llmchatctl" /* where these logins say they come from */

enum { MAX_COUNT = 100000, BATCH = 1000, MIN_TTL_S = 60, MAX_TTL_S = 86400 * 30, NUMBER_SIZE = 24 };

struct issue {
	struct accounts accounts;
	const char *username; /* borrowed; NULL: load-… */
	struct account user;  /* if username is not NULL */
	int64_t count, ttl_s; /* ttl_s 0: ACCESS_TOKEN_TTL */
	int64_t issued_at_s;
	struct uuid *login_ids; /* owned, count of them, as user_ids */
	struct uuid *user_ids;
};

static void name_of(const struct issue *issue, int64_t i, char *out, size_t size)
{
	if (issue->username)
		snprintf(out, size, "%s", issue->user.username);
	else
		snprintf(out, size, "load-%04" PRId64, i + 1);
}

/* How many the batch that begins at `first` has. */
static int64_t batch_len(const struct issue *issue, int64_t first)
{
	return issue->count - first < BATCH ? issue->count - first : BATCH;
}

static void name_array(const struct issue *issue, int64_t first, struct buf *names)
{
	for (int64_t i = first; i < first + batch_len(issue, first); i++) {
		char name[sizeof(issue->user.username)];

		name_of(issue, i, name, sizeof(name));
		text_array_add(names, str_from(name));
	}
	text_array_close(names);
	buf_add_char(names, '\0');
}

static int add_missing_users(struct issue *issue, int64_t first, const char *names)
{
	struct buf ids = {NULL, 0, 0};
	struct pg_result *rows;

	for (int64_t i = 0; i < batch_len(issue, first); i++) {
		struct uuid id = uuid_new();

		text_array_add(&ids, uuid_str(&id));
	}
	text_array_close(&ids);
	buf_add_char(&ids, '\0');
	rows = accounts_run(&issue->accounts, &users_add_missing_statement, 2, (const char *const[]){ids.p, names});
	buf_fini(&ids);
	pg_sync_free(rows);
	return rows ? EXIT_FINE : EXIT_FAILED;
}

/* Takes the users' ids from the rows; they lack whoever may not log in. */
static int take_users(struct issue *issue, int64_t first, const struct pg_result *rows)
{
	for (int64_t i = 0; i < batch_len(issue, first); i++) {
		size_t row = (size_t)i, at = (size_t)(first + i);
		char name[sizeof(issue->user.username)];

		if (row < pg_sync_n_rows(rows) && strcmp(pg_sync_value(rows, row, 0), issue->login_ids[at].text) == 0) {
			snprintf(issue->user_ids[at].text, UUID_TEXT_SIZE, "%s", pg_sync_value(rows, row, 1));
			continue;
		}
		name_of(issue, first + i, name, sizeof(name));
		return args_fail("The user %s is disabled; no token was issued.", name);
	}
	return EXIT_FINE;
}

/* One audit entry for all: the first statement writes it. */
static struct pg_result *run_issue(struct issue *issue, int64_t first, const char *names, const char *login_ids)
{
	char ends_at[NUMBER_SIZE], count[NUMBER_SIZE], ttl[NUMBER_SIZE];
	const char *const params[] = {
		ACCOUNTS_WHO, names, login_ids, ends_at, ADDRESS, first == 0 ? count : NULL, issue->username ? issue->user.id.text : NULL,
		ttl};

	snprintf(ends_at, sizeof(ends_at), "%" PRId64, issue->issued_at_s + issue->ttl_s);
	snprintf(count, sizeof(count), "%" PRId64, issue->count);
	snprintf(ttl, sizeof(ttl), "%" PRId64, issue->ttl_s);
	return accounts_run(&issue->accounts, &logins_issue_statement, N_ELEMENTS(params), params);
}

static int add_logins(struct issue *issue, int64_t first, const char *names)
{
	struct buf ids = {NULL, 0, 0};
	struct pg_result *rows;
	int status = EXIT_FAILED;

	for (int64_t i = first; i < first + batch_len(issue, first); i++) {
		issue->login_ids[i] = uuid_new();
		text_array_add(&ids, uuid_str(&issue->login_ids[i]));
	}
	text_array_close(&ids);
	buf_add_char(&ids, '\0');
	rows = run_issue(issue, first, names, ids.p);
	if (rows)
		status = take_users(issue, first, rows);
	pg_sync_free(rows);
	buf_fini(&ids);
	return status;
}

static int run_batch(struct issue *issue, int64_t first)
{
	struct buf names = {NULL, 0, 0};
	int status = EXIT_FINE;

	name_array(issue, first, &names);
	if (!issue->username)
		status = add_missing_users(issue, first, names.p);
	if (status == EXIT_FINE)
		status = add_logins(issue, first, names.p);
	buf_fini(&names);
	return status;
}

/* All logins or none: what was begun goes with the connection. */
static int store(struct issue *issue)
{
	struct accounts *a = &issue->accounts;
	int status = EXIT_FINE;

	if (!accounts_do(a, "BEGIN"))
		return EXIT_FAILED;
	for (int64_t first = 0; first < issue->count && status == EXIT_FINE; first += BATCH)
		status = run_batch(issue, first);
	if (status == EXIT_FINE && !accounts_do(a, "COMMIT"))
		status = EXIT_FAILED;
	return status;
}

static int print(const struct issue *issue)
{
	struct str secret = str_from(issue->accounts.conf.token_secret);
	char *text = mem_alloc((size_t)BATCH * JWT_SIZE);
	int status = EXIT_FINE;

	for (int64_t first = 0; first < issue->count && status == EXIT_FINE; first += BATCH) {
		size_t len = 0;

		for (int64_t i = first; i < first + batch_len(issue, first); i++) {
			struct jwt_claims claims = {
				.user_id = issue->user_ids[i],
				.session_id = issue->login_ids[i],
				.token_id = uuid_new(),
				.issued_at_s = issue->issued_at_s,
				.expires_at_s = issue->issued_at_s + issue->ttl_s,
			};

			jwt_issue(secret, &claims, text + len);
			len += strlen(text + len);
			text[len++] = '\n'; /* in place of the NUL */
		}
		status = accounts_print_secret((struct str){text, len});
	}
	crypto_wipe(text, (size_t)BATCH * JWT_SIZE);
	free(text);
	return status;
}

static int issue_tokens(struct issue *issue)
{
	int status;

	if (issue->username) {
		status = accounts_need(&issue->accounts, issue->username, &issue->user);
		if (status != EXIT_FINE)
			return status;
	}
	if (issue->ttl_s == 0)
		issue->ttl_s = issue->accounts.conf.access_token_ttl_s;
	issue->issued_at_s = (int64_t)(clock_real_us() / 1000000);
	issue->login_ids = mem_alloc((size_t)issue->count * sizeof(*issue->login_ids));
	issue->user_ids = mem_alloc((size_t)issue->count * sizeof(*issue->user_ids));
	status = store(issue);
	if (status == EXIT_FINE)
		status = print(issue);
	free(issue->login_ids);
	free(issue->user_ids);
	return status;
}

/* 1 if word i is the option, with a number that is allowed; else as args_option. */
static int number_option(const struct args *args, int *i, const char *name, int64_t min, int64_t max, int64_t *out)
{
	const char *value;
	int found = args_option(args, i, name, &value);

	if (found <= 0 || (str_to_i64(str_from(value), out) && *out >= min && *out <= max))
		return found;
	args_refuse("%s is a number from %" PRId64 " to %" PRId64 ".", name, min, max);
	return -1;
}

static int read_options(const struct args *args, struct issue *issue)
{
	for (int i = 1; i < args->n; i++) {
		const char *word = args->words[i];
		int found = args_option(args, &i, "--user", &issue->username);

		if (found == 0)
			found = number_option(args, &i, "--count", 1, MAX_COUNT, &issue->count);
		if (found == 0)
			found = number_option(args, &i, "--ttl", MIN_TTL_S, MAX_TTL_S, &issue->ttl_s);
		if (found == 0)
			return args_refuse("token issue does not know %s.", word);
		if (found < 0)
			return EXIT_USAGE;
	}
	return EXIT_FINE;
}

int token_command(const struct args *args)
{
	struct issue issue = {.count = 1};
	int status;

	if (args->n == 0 || strcmp(args->words[0], "issue") != 0)
		return args_refuse("token knows issue.");
	status = read_options(args, &issue);
	if (status != EXIT_FINE)
		return status;
	status = accounts_open(&issue.accounts, args);
	if (status == EXIT_FINE)
		status = issue_tokens(&issue);
	accounts_close(&issue.accounts);
	return status;
}
