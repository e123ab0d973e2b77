/* Reads the files and the table, and applies what migrate_check allows. */
#include "ctl/migrate_command.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/conf.h"
#include "ctl/args.h"
#include "ctl/migrate.h"
#include "ctl/pg_sync.h"

#define LOCK_KEY "7813292938142704740" /* one migration at a time: "llmchat" in bytes, more or less; any constant does */

enum { LOCK_PATIENCE_US = 600000000, LOCK_RETRY_NS = 200000000 };

const char migrate_help[] =
	"migrate applies the files NNNN_name.sql (0001, 0002, ... without a gap) that the database has not seen yet, in order.\n"
	"  --status       show each migration as applied, pending, CHANGED or MISSING, and change nothing\n"
	"  --sql-dir DIR  where the files are (" LLMCHAT_SQL_DIR ")\n"
	"A file is applied as a whole or not at all. If its first line is \"-- migrate: no-transaction\", it holds a single statement\n"
	"that PostgreSQL runs outside a transaction, and which must bear being run twice. Connect to PostgreSQL itself, not to\n"
	"PgBouncer: a session lock keeps two migrations apart.\n";

struct migrate {
	const char *sql_dir; /* borrowed */
	bool status;
	struct pg_sync *db; /* owned */
	struct migrate_plan plan;
	struct pg_sync_error error;
};

static int fail(const char *what, const char *why)
{
	fprintf(stderr, "llmchatctl: %s: %s\n", what, why);
	return EXIT_FAILED;
}

/* An error of PostgreSQL in a file, with its line if there is one. */
static int fail_in_file(const struct migrate *m, const struct migration *file)
{
	if (m->error.position)
		fprintf(stderr, "%s/%s.sql:%zu: %s\n", m->sql_dir, file->name, migrate_line_of(buf_str(&file->sql), m->error.position),
			m->error.text);
	else
		fprintf(stderr, "%s/%s.sql: %s\n", m->sql_dir, file->name, m->error.text);
	return EXIT_FAILED;
}

static int read_file(const struct migrate *m, const char *file_name, struct buf *out)
{
	char path[4096];
	FILE *f;
	size_t n;
	int status = EXIT_FINE;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", m->sql_dir, file_name) >= sizeof(path))
		return fail(file_name, "the path is too long");
	f = fopen(path, "re");
	if (!f)
		return fail(path, strerror(errno));
	do {
		n = fread(buf_reserve(out, 65536), 1, 65536, f);
		out->len += n;
	} while (n > 0);
	if (ferror(f))
		status = fail(path, strerror(errno));
	else if (out->len && memchr(out->p, '\0', out->len))
		status = fail(path, "there is a NUL byte in it");
	fclose(f);
	return status;
}

static int read_files(struct migrate *m)
{
	DIR *dir = opendir(m->sql_dir);
	int status = EXIT_FINE;
	struct dirent *entry;

	if (!dir)
		return fail(m->sql_dir, strerror(errno));
	while (status == EXIT_FINE && (entry = readdir(dir))) {
		char name[MIGRATE_NAME_SIZE];
		struct buf sql = {NULL, 0, 0};
		int version, kind = migrate_parse_name(entry->d_name, &version, name);

		if (kind < 0)
			status = fail(entry->d_name, "a migration is called NNNN_name.sql: four digits, then a-z, 0-9, _ and -");
		if (kind <= 0)
			continue;
		status = read_file(m, entry->d_name, &sql);
		if (status == EXIT_FINE)
			migrate_add_file(&m->plan, version, name, &sql);
		buf_fini(&sql);
	}
	closedir(dir);
	if (status == EXIT_FINE && m->plan.n_files == 0)
		status = fail(m->sql_dir, "there are no migrations in it");
	return status;
}

static int read_rows(struct migrate *m)
{
	struct pg_result *rows = pg_sync_query(m->db, STR("SELECT to_regclass('schema_migrations')"), 0, NULL, &m->error);
	bool empty = rows && !*pg_sync_value(rows, 0, 0);

	pg_sync_free(rows);
	if (empty)
		return EXIT_FINE;
	if (rows)
		rows = pg_sync_query(m->db,
				     STR("SELECT version, name, checksum, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
					 " FROM schema_migrations ORDER BY version LIMIT 10000"),
				     0, NULL, &m->error);
	if (!rows)
		return fail("schema_migrations", m->error.text);
	for (size_t i = 0; i < pg_sync_n_rows(rows); i++) {
		struct migration_row row = {.version = atoi(pg_sync_value(rows, i, 0))};

		snprintf(row.name, sizeof(row.name), "%s", pg_sync_value(rows, i, 1));
		snprintf(row.checksum, sizeof(row.checksum), "%s", pg_sync_value(rows, i, 2));
		snprintf(row.applied_at, sizeof(row.applied_at), "%s", pg_sync_value(rows, i, 3));
		migrate_add_row(&m->plan, &row);
	}
	pg_sync_free(rows);
	return EXIT_FINE;
}

int migrate_read(struct pg_sync *db, const char *sql_dir, struct migrate_plan *plan)
{
	struct migrate m = {.sql_dir = sql_dir ? sql_dir : LLMCHAT_SQL_DIR, .db = db};
	int status = read_files(&m);

	if (status == EXIT_FINE)
		status = read_rows(&m);
	migrate_sort(&m.plan);
	*plan = m.plan;
	return status;
}

static int print_status(const struct migrate *m)
{
	static const char *const words[] = {"applied", "pending", "CHANGED", "MISSING"};
	char why[512];

	printf("%-7s  %-40s  %-7s  %s\n", "VERSION", "NAME", "STATE", "APPLIED AT (UTC)");
	for (int version = 1; version <= migrate_last_version(&m->plan); version++) {
		const struct migration *file = migrate_file(&m->plan, version);
		const struct migration_row *row = migrate_row(&m->plan, version);

		if (file || row)
			printf("%04d     %-40s  %-7s  %s\n", version, (file ? file->name : row->name) + 5,
			       words[migrate_state(&m->plan, version)], row ? row->applied_at : "-");
	}
	fflush(stdout);
	if (migrate_check(&m->plan, why, sizeof(why)) != 0)
		return fail("wrong", why);
	return EXIT_FINE;
}

static int try_lock(struct migrate *m, bool *taken)
{
	struct pg_result *rows = pg_sync_query(m->db, STR("SELECT pg_try_advisory_lock(" LOCK_KEY ")"), 0, NULL, &m->error);

	if (!rows)
		return fail("the lock", m->error.text);
	*taken = *pg_sync_value(rows, 0, 0) == 't';
	pg_sync_free(rows);
	return EXIT_FINE;
}

/* The lock goes with the connection. It is asked for again and again, not waited for in the server: a waiting statement would
 * hold up a CREATE INDEX CONCURRENTLY of the other migration for ever. */
static int take_lock(struct migrate *m)
{
	uint64_t began_us = clock_mono_us();
	bool taken = false, told = false;

	for (;;) {
		if (try_lock(m, &taken) != EXIT_FINE)
			return EXIT_FAILED;
		if (taken)
			return EXIT_FINE;
		if (!told)
			fprintf(stderr, "llmchatctl: another migration is running; waiting for it to end\n");
		told = true;
		if (clock_mono_us() - began_us > LOCK_PATIENCE_US)
			return fail("nothing was applied", "another migration has been running for ten minutes");
		nanosleep(&(struct timespec){.tv_nsec = LOCK_RETRY_NS}, NULL);
	}
}

static int make_table(struct migrate *m)
{
	static const char sql[] = "CREATE TABLE IF NOT EXISTS schema_migrations ("
				  " version int PRIMARY KEY,"
				  " name text NOT NULL,"
				  " checksum text NOT NULL,"
				  " applied_at timestamptz NOT NULL DEFAULT now(),"
				  " took_ms bigint NOT NULL)";

	/* The role may have a limit of its own, for responders behind PgBouncer; a migration of a large table takes longer. */
	if (pg_sync_run(m->db, "SET client_min_messages = warning", &m->error) &&
	    pg_sync_run(m->db, "SET statement_timeout = 0", &m->error) && pg_sync_run(m->db, sql, &m->error))
		return EXIT_FINE;
	return fail("schema_migrations", m->error.text);
}

static bool add_row(struct migrate *m, const struct migration *file, uint64_t took_ms)
{
	char version[16], ms[24];
	const char *const params[] = {version, file->name, file->checksum, ms};
	struct pg_result *rows;
	bool fine;

	snprintf(version, sizeof(version), "%d", file->version);
	snprintf(ms, sizeof(ms), "%" PRIu64, took_ms);
	rows = pg_sync_query(m->db, STR("INSERT INTO schema_migrations (version, name, checksum, took_ms) VALUES ($1, $2, $3, $4)"), 4,
			     params, &m->error);
	fine = rows != NULL;
	pg_sync_free(rows);
	return fine;
}

static uint64_t ms_since(uint64_t began_us)
{
	return (clock_mono_us() - began_us) / 1000;
}

/* Everything or nothing. */
static int apply_in_transaction(struct migrate *m, const struct migration *file, uint64_t began_us)
{
	if (!pg_sync_run(m->db, "BEGIN", &m->error) || !pg_sync_run(m->db, "SET LOCAL lock_timeout = '10s'", &m->error))
		return fail(file->name, m->error.text);
	if (!pg_sync_script(m->db, buf_str(&file->sql), &m->error))
		return fail_in_file(m, file);
	if (!pg_sync_in_transaction(m->db))
		return fail(file->name, "the file ended its transaction itself, so parts of it may have been applied; "
					"it must not contain COMMIT, ROLLBACK or BEGIN");
	if (!add_row(m, file, ms_since(began_us)) || !pg_sync_run(m->db, "COMMIT", &m->error)) {
		m->error.position = 0;
		return fail_in_file(m, file);
	}
	return EXIT_FINE;
}

/* For what PostgreSQL refuses inside a transaction, like CREATE INDEX CONCURRENTLY. */
static int apply_alone(struct migrate *m, const struct migration *file, uint64_t began_us)
{
	struct pg_result *rows;

	if (!pg_sync_run(m->db, "SET lock_timeout = '10s'", &m->error))
		return fail(file->name, m->error.text);
	rows = pg_sync_query(m->db, buf_str(&file->sql), 0, NULL, &m->error);
	if (!rows)
		return fail_in_file(m, file);
	pg_sync_free(rows);
	if (!add_row(m, file, ms_since(began_us)))
		return fail(file->name, m->error.text);
	return EXIT_FINE;
}

static int apply(struct migrate *m, const struct migration *file)
{
	uint64_t began_us = clock_mono_us();
	int status;

	if (migrate_wants_no_transaction(buf_str(&file->sql)))
		status = apply_alone(m, file, began_us);
	else
		status = apply_in_transaction(m, file, began_us);
	if (status == EXIT_FINE)
		printf("%s: applied in %" PRIu64 " ms\n", file->name, ms_since(began_us));
	else
		fprintf(stderr, "llmchatctl: the database stays at %04d\n", file->version - 1);
	fflush(stdout);
	return status;
}

static int apply_pending(struct migrate *m)
{
	bool anything = false;
	char why[512];

	if (migrate_check(&m->plan, why, sizeof(why)) != 0)
		return fail("nothing was applied", why);
	for (size_t i = 0; i < m->plan.n_files; i++) {
		const struct migration *file = &m->plan.files[i];
		int status;

		if (migrate_state(&m->plan, file->version) != MIGRATE_PENDING)
			continue;
		anything = true;
		status = apply(m, file);
		if (status != EXIT_FINE)
			return status;
	}
	if (!anything)
		printf("nothing to do: the database is at %04d\n", migrate_last_version(&m->plan));
	return EXIT_FINE;
}

static bool anything_pending(const struct migrate *m)
{
	for (size_t i = 0; i < m->plan.n_files; i++)
		if (migrate_state(&m->plan, m->plan.files[i].version) == MIGRATE_PENDING)
			return true;
	return false;
}

/* A lock of the session is worth nothing where each statement may go to another session. Looking is possible all the same. */
static int migrate_through_pooler(struct migrate *m)
{
	int status = read_rows(m);

	if (status != EXIT_FINE)
		return status;
	migrate_sort(&m->plan);
	if (m->status)
		return print_status(m);
	if (anything_pending(m))
		return fail("nothing was applied",
			    "a connection pooler such as PgBouncer stands between here and PostgreSQL, and migrations need one session "
			    "for all they do. Give this command DB_HOST and DB_PORT of PostgreSQL itself; the environment wins over "
			    "the env file: DB_PORT=5432 llmchatctl migrate");
	return apply_pending(m);
}

static int migrate(struct migrate *m, const struct conf *conf)
{
	int status = read_files(m);
	bool pooled = false;

	if (status != EXIT_FINE)
		return status;
	m->db = pg_sync_open(conf, &m->error);
	if (!m->db || !pg_sync_is_pooled(m->db, &pooled, &m->error))
		return fail("the database cannot be reached", m->error.text);
	if (pooled)
		return migrate_through_pooler(m);
	if (!m->status) {
		status = take_lock(m);
		if (status == EXIT_FINE)
			status = make_table(m);
	}
	if (status == EXIT_FINE)
		status = read_rows(m);
	if (status != EXIT_FINE)
		return status;
	migrate_sort(&m->plan);
	return m->status ? print_status(m) : apply_pending(m);
}

int migrate_command(const struct args *args)
{
	struct migrate m = {.sql_dir = LLMCHAT_SQL_DIR};
	struct conf conf = {0};
	int status;

	for (int i = 0; i < args->n; i++) {
		int found = args_option(args, &i, "--sql-dir", &m.sql_dir);

		if (found < 0)
			return EXIT_USAGE;
		if (!found && strcmp(args->words[i], "--status") == 0)
			m.status = true;
		else if (!found)
			return args_refuse("migrate does not know %s.", args->words[i]);
	}
	status = args_load_conf(args, &conf);
	if (status == EXIT_FINE)
		status = migrate(&m, &conf);
	pg_sync_close(m.db);
	migrate_fini(&m.plan);
	conf_fini(&conf);
	return status;
}
