/* llmchatctl as its user meets it: the program itself against a real PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>

#include "tests/unit/db/server.h"

static struct server server;
static char dir[96], output[16384]; /* of this test's files; of the last run, stdout and stderr */

static void put_file(const char *name, const char *text)
{
	char path[192];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void remove_file(const char *name)
{
	char path[192];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(remove(path), 0);
}

static FILE *start(const char *args)
{
	const char *program = getenv("LLMCHATCTL");
	char command[512];
	FILE *f;

	snprintf(command, sizeof(command), "%s %s 2>&1", program ? program : "./llmchatctl", args);
	f = popen(command, "r");
	assert_non_null(f);
	return f;
}

static int finish(FILE *f)
{
	size_t n = fread(output, 1, sizeof(output) - 1, f);

	output[n] = '\0';
	return WEXITSTATUS(pclose(f));
}

static int run(const char *args)
{
	return finish(start(args));
}

static int migrate(const char *options)
{
	char args[256];

	snprintf(args, sizeof(args), "migrate --sql-dir %s %s", dir, options);
	return run(args);
}

static void expect(const char *part)
{
	if (!strstr(output, part))
		fail_msg("\"%s\" is not in:\n%s", part, output);
}

/* One value of the database, through psql. */
static const char *ask(const char *sql)
{
	static char value[256];
	char command[512];
	FILE *f;

	snprintf(command, sizeof(command), "PGPASSWORD=" SERVER_PASSWORD " %s/psql -h %s -U llmchat -d \"$DB_NAME\" -XAtqc \"%s\"",
		 server.bin, server.dir, sql);
	f = popen(command, "r");
	assert_non_null(f);
	if (!fgets(value, sizeof(value), f))
		value[0] = '\0';
	pclose(f);
	value[strcspn(value, "\n")] = '\0';
	return value;
}

static int start_all(void **state)
{
	(void)state;
	server_init(&server);
	setenv("DB_HOST", server.dir, 1);
	setenv("DB_USER", "llmchat", 1);
	setenv("DB_PASSWORD", SERVER_PASSWORD, 1);
	setenv("TOKEN_SECRET", "a secret of thirty-two bytes or more", 1);
	unsetenv("LLMCHAT_ENV_FILE");
	return 0;
}

static int stop_all(void **state)
{
	(void)state;
	server_fini(&server);
	return 0;
}

/* Each test has a database and a directory of its own. */
static int make_database(void **state)
{
	static int n;
	char name[32], sql[64];

	(void)state;
	setenv("DB_NAME", "postgres", 1);
	snprintf(name, sizeof(name), "test_%d", ++n);
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s", name);
	ask(sql);
	setenv("DB_NAME", name, 1);
	snprintf(dir, sizeof(dir), "%s/sql_%d", server.dir, n);
	return mkdir(dir, 0755);
}

static void applies_what_is_pending_once(void **state)
{
	(void)state;
	put_file("0001_one.sql", "CREATE TABLE one (a int);\nINSERT INTO one VALUES (1);\n");
	put_file("README", "not a migration");
	assert_int_equal(migrate("--status"), 0);
	expect("0001     one");
	expect("pending");
	assert_string_equal(ask("SELECT to_regclass('schema_migrations') IS NULL"), "t"); /* looking changes nothing */
	assert_int_equal(migrate(""), 0);
	expect("0001_one: applied in ");
	put_file("0002_two.sql", "ALTER TABLE one ADD b int;\n");
	assert_int_equal(migrate(""), 0);
	expect("0002_two: applied in ");
	assert_null(strstr(output, "0001_one"));
	assert_int_equal(migrate(""), 0);
	assert_string_equal(output, "nothing to do: the database is at 0002\n");
	assert_string_equal(ask("SELECT count(*) FROM one"), "1");
	assert_string_equal(ask("SELECT string_agg(version || name || length(checksum) || (took_ms >= 0), ',' ORDER BY version)"
				" FROM schema_migrations"),
			    "10001_one64true,20002_two64true");
	assert_int_equal(migrate("--status"), 0);
	expect("applied");
	assert_null(strstr(output, "pending"));
}

static void applies_the_migrations_of_this_project(void **state)
{
	const char *srcdir = getenv("srcdir");
	char args[256];

	(void)state;
	snprintf(args, sizeof(args), "migrate --sql-dir %s/sql", srcdir ? srcdir : ".");
	assert_int_equal(run(args), 0);
	expect("0001_");
	assert_int_equal(run(args), 0);
	expect("nothing to do");
}

static void leaves_nothing_of_a_file_that_fails_and_names_the_line(void **state)
{
	(void)state;
	put_file("0001_good.sql", "CREATE TABLE good (a int);\n");
	put_file("0002_bad.sql", "CREATE TABLE bad (a int); -- 語\n\nSELECT nothing\n  FROM bad;\n");
	assert_int_equal(migrate(""), 1);
	expect("0001_good: applied");
	expect("/0002_bad.sql:3: column \"nothing\" does not exist (42703)");
	expect("the database stays at 0001");
	assert_string_equal(ask("SELECT to_regclass('bad') IS NULL"), "t");
	assert_string_equal(ask("SELECT count(*) FROM schema_migrations"), "1");
	put_file("0002_bad.sql", "INSERT INTO good VALUES (1);\nINSERT INTO good SELECT 1 / 0;\n");
	assert_int_equal(migrate(""), 1);
	expect("division by zero");
	assert_string_equal(ask("SELECT count(*) FROM good"), "0");
}

static void refuses_changed_missing_and_newer(void **state)
{
	(void)state;
	put_file("0001_one.sql", "CREATE TABLE one (a int);\n");
	put_file("0002_two.sql", "CREATE TABLE two (a int);\n");
	assert_int_equal(migrate(""), 0);
	put_file("0001_one.sql", "CREATE TABLE one (a bigint);\n");
	assert_int_equal(migrate(""), 1);
	expect("0001_one.sql was changed after it was applied");
	assert_int_equal(migrate("--status"), 1);
	expect("CHANGED");
	put_file("0001_one.sql", "CREATE TABLE one (a int);\n");
	remove_file("0002_two.sql");
	assert_int_equal(migrate(""), 1);
	expect("newer version");
	assert_int_equal(migrate("--status"), 1);
	expect("MISSING");
	put_file("0003_three.sql", "SELECT 1;\n");
	assert_int_equal(migrate(""), 1);
	expect("0002_two.sql was applied to this database, but the file is missing");
	put_file("03_three.sql", "SELECT 1;\n");
	assert_int_equal(migrate(""), 1);
	expect("a migration is called NNNN_name.sql");
}

static void runs_a_file_outside_a_transaction_if_it_asks_for_it(void **state)
{
	(void)state;
	put_file("0001_one.sql", "CREATE TABLE one (a int);\n");
	put_file("0002_index.sql", "-- migrate: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS one_a ON one (a);\n");
	assert_int_equal(migrate(""), 0);
	assert_string_equal(ask("SELECT to_regclass('one_a') IS NOT NULL"), "t");
	put_file("0003_two.sql", "-- migrate: no-transaction\nSELECT 1; SELECT 2;\n");
	assert_int_equal(migrate(""), 1);
	expect("cannot insert multiple commands");
}

static void refuses_a_file_that_ends_its_transaction(void **state)
{
	(void)state;
	put_file("0001_one.sql", "CREATE TABLE one (a int);\nCOMMIT;\n");
	assert_int_equal(migrate(""), 1);
	expect("must not contain COMMIT");
	assert_string_equal(ask("SELECT count(*) FROM schema_migrations"), "0");
}

static void waits_for_another_migration(void **state)
{
	char args[160];
	FILE *first, *second;

	(void)state;
	put_file("0001_slow.sql", "SELECT pg_sleep(1);\n");
	snprintf(args, sizeof(args), "migrate --sql-dir %s", dir);
	first = start(args);
	while (strcmp(ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"), "1") != 0)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	second = start(args);
	assert_int_equal(finish(second), 0);
	expect("another migration is running; waiting");
	expect("nothing to do: the database is at 0001");
	assert_int_equal(finish(first), 0);
	expect("0001_slow: applied");
}

static void says_why_the_database_cannot_be_reached_without_the_password(void **state)
{
	(void)state;
	put_file("0001_one.sql", "SELECT 1;\n");
	setenv("DB_PASSWORD", "tr0ub4dor-and-3", 1);
	assert_int_equal(migrate(""), 1);
	setenv("DB_PASSWORD", SERVER_PASSWORD, 1);
	expect("the database cannot be reached");
	expect("password authentication failed");
	assert_null(strstr(output, "tr0ub4dor"));
}

static void reads_an_env_file_under_the_environment(void **state)
{
	char args[256];

	(void)state;
	put_file("0001_one.sql", "SELECT 1;\n");
	put_file("env", "DB_PASSWORD=" SERVER_PASSWORD "\n");
	snprintf(args, sizeof(args), "chmod 600 %s/env", dir);
	assert_int_equal(system(args), 0);
	unsetenv("DB_PASSWORD");
	snprintf(args, sizeof(args), "migrate --env-file %s/env --sql-dir=%s", dir, dir);
	assert_int_equal(run(args), 0);
	expect("0001_one: applied");
	snprintf(args, sizeof(args), "--env-file=%s/no-such-file migrate", dir);
	assert_int_equal(run(args), 1);
	expect("cannot be read");
	setenv("DB_PASSWORD", SERVER_PASSWORD, 1);
}

static void says_what_to_do_about_tables_of_an_older_version(void **state)
{
	static const char *const commands[] = {
		"user list",   "user add anna --no-password", "user passwd anna --random-password", "user unlock anna",
		"token issue", "token issue --user anna"};

	(void)state;
	put_file("0001_users.sql", "CREATE TABLE users (id uuid PRIMARY KEY, username text NOT NULL, role text);\n"
				   "CREATE UNIQUE INDEX users_username_key ON users (lower(username));\n");
	for (int migrated = 0; migrated < 2; migrated++) {
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
			assert_int_equal(run(commands[i]), 1);
			assert_string_equal(output,
					    "llmchatctl: The database does not have the tables of this version; run: llmchatctl migrate\n");
		}
		assert_int_equal(migrate(""), 0);
	}
	setenv("DB_HOST", "/nowhere", 1);
	assert_int_equal(run("user list"), 1);
	setenv("DB_HOST", server.dir, 1);
	expect("The database cannot be reached: ");
}

static void explains_itself_and_refuses_what_it_does_not_know(void **state)
{
	static const struct {
		const char *args;
		int status;
		const char *part;
	} rows[] = {
		{"help", 0, "migrate [--status]"},
		{"--help", 0, "migrate [--status]"},
		{"migrate --help", 0, "migrate [--status]"},
		{"", 2, "Which command?"},
		{"migrat", 2, "There is no command migrat."},
		{"--verbose", 2, "There is no option --verbose."},
		{"migrate --force", 2, "migrate does not know --force."},
		{"migrate --statusx", 2, "migrate does not know --statusx."},
		{"migrate --sql-dir", 2, "--sql-dir needs a value."},
		{"migrate --sql-dirs=x", 2, "migrate does not know --sql-dirs=x."},
		{"--env-file", 2, "--env-file needs a value."},
		{"user", 2, "user what?"},
		{"user --help", 0, "user grant NAME user|admin"},
		{"user ad anna", 2, "user does not know ad."},
		{"user add", 2, "user add takes a NAME."},
		{"user add anna password", 2, "user add takes a NAME and nothing else."},
		{"user add anna --password=hunter22", 2, "user add does not know --password."},
		{"user add anna --json", 2, "user add does not know --json."},
		{"user add anna --no-password --random-password", 2, "exclude each other"},
		{"user add anna --password-stdin --random-password", 2, "exclude each other"},
		{"user add anna --email", 2, "--email needs a value."},
		{"user add anna --email=anna", 2, "must have an @"},
		{"user add ' anna'", 2, "neither begin nor end with a blank"},
		{"user add \"$(printf 'x%.0s' $(seq 65))\"", 2, "1 to 64 characters"},
		{"user add \"$(printf 'a\\tb')\"", 2, "control characters"},
		{"user add \"$(printf '\\377')\"", 2, "must be UTF-8"},
		{"user list anna", 2, "user list takes options and nothing else."},
		{"user passwd", 2, "user passwd takes a NAME."},
		{"user passwd anna --email=a@b", 2, "user passwd does not know --email."},
		{"user disable --json anna", 2, "user disable does not know --json."},
		{"user grant anna", 2, "user grant takes a NAME and a role."},
		{"user grant anna root", 2, "The role is user or admin."},
		{"user grant -- -anna root", 2, "The role is user or admin."},
		{"user grant -anna root", 2, "user grant does not know -anna."},
		{"token", 2, "token knows issue."},
		{"token make", 2, "token knows issue."},
		{"token issue --help", 0, "--ttl SECONDS"},
		{"token issue --count", 2, "--count needs a value."},
		{"token issue --count 0", 2, "--count is a number from 1 to 100000."},
		{"token issue --count 100001", 2, "--count is a number from 1 to 100000."},
		{"token issue --count=ten", 2, "--count is a number from 1 to 100000."},
		{"token issue --ttl 59", 2, "--ttl is a number from 60 to 2592000."},
		{"token issue --ttl 2592001", 2, "--ttl is a number from 60 to 2592000."},
		{"token issue anna", 2, "token issue does not know anna."},
		{"migrate --sql-dir /nowhere", 1, "No such file or directory"},
		{"pool --help", 0, "pool [--json]"},
		{"pool --yaml", 2, "pool takes no arguments but --json."},
		{"turns 5", 2, "turns takes no arguments."},
		{"stop", 2, "stop needs the id of one answer."},
		{"stop everything", 2, "a UUID"},
		{"log-level", 2, "debug, info, warn or error"},
		{"log-level loud", 2, "debug, info, warn or error"},
		{"log-level info debug", 2, "takes one level"},
		{"log-level info --slot", 2, "--slot needs a value."},
		{"log-level info --slot 65", 2, "a number from 1 to 64"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(run(rows[i].args), rows[i].status);
		expect(rows[i].part);
		assert_null(strstr(output, "hunter22"));
	}
	assert_int_equal(migrate(""), 1);
	expect("there are no migrations in it");
}

static void says_when_there_is_no_pool_to_ask(void **state)
{
	static const char *const commands[] = {"pool", "pool --json", "turns", "stop 0190a1b2-0000-7000-8000-000000000001", "log-level info"};

	(void)state;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		setenv("RUN_DIR", "/tmp/no/such/place", 1);
		assert_int_equal(run(commands[i]), 1);
		expect("RUN_DIR is /tmp/no/such/place: there is no such directory");
		setenv("RUN_DIR", dir, 1); /* which is only empty */
		assert_int_equal(run(commands[i]), 1);
		expect("no responder runs there.");
	}
	put_file("alive.1.1700000000000000", "left by a dead one");
	assert_int_equal(run("log-level info --slot 1"), 1);
	expect("no responder runs there in slot 1.");
	unsetenv("RUN_DIR");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, make_database)
	const struct CMUnitTest tests[] = {
		TEST(applies_what_is_pending_once),
		TEST(applies_the_migrations_of_this_project),
		TEST(leaves_nothing_of_a_file_that_fails_and_names_the_line),
		TEST(refuses_changed_missing_and_newer),
		TEST(runs_a_file_outside_a_transaction_if_it_asks_for_it),
		TEST(refuses_a_file_that_ends_its_transaction),
		TEST(waits_for_another_migration),
		TEST(says_why_the_database_cannot_be_reached_without_the_password),
		TEST(reads_an_env_file_under_the_environment),
		TEST(says_what_to_do_about_tables_of_an_older_version),
		TEST(explains_itself_and_refuses_what_it_does_not_know),
		TEST(says_when_there_is_no_pool_to_ask),
	};

	return cmocka_run_group_tests(tests, start_all, stop_all);
}
