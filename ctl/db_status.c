/* A line or some for each question. What the role may not see (other roles' sessions, replicas) it does not show. */
#include "ctl/db_status.h"

#include <errno.h>
#include <stdio.h>

#include "ctl/accounts.h"
#include "ctl/args.h"
#include "ctl/migrate.h"
#include "ctl/migrate_command.h"

#define SETTINGS_FILE LLMCHAT_CONF_DIR "/postgresql.llmchat.conf"
#define CLIENTS       "coalesce(backend_type, 'client backend') = 'client backend' AND usename IS NOT NULL"

/* Each gives lines of text. */
static const struct {
	const char *label, *none, *sql;
	bool wrong; /* a line is something for the operator */
} questions[] = {
	{"version", "", "SELECT 'PostgreSQL ' || current_setting('server_version')", false},
	{"size", "", "SELECT pg_size_pretty(pg_database_size(current_database()))", false},
	{"connections", "",
	 "SELECT count(*) || ' of ' || current_setting('max_connections')::integer - "
	 "current_setting('superuser_reserved_connections')::integer"
	 " || ' used, ' || count(*) FILTER (WHERE application_name LIKE 'llmchat-%') || ' by responders'"
	 " FROM pg_stat_activity WHERE " CLIENTS,
	 false},
	{"waiting for locks", "nobody",
	 "SELECT 'pid ' || pid || ' (' || application_name || ') for ' || date_trunc('second', now() - query_start) || ', behind pid '"
	 " || array_to_string(pg_blocking_pids(pid), ', ') FROM pg_stat_activity WHERE wait_event_type = 'Lock' ORDER BY query_start LIMIT "
	 "5",
	 false},
	{"oldest transaction", "none",
	 "SELECT date_trunc('second', now() - xact_start) || ', pid ' || pid || ' (' || application_name || '), ' || state"
	 " FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND " CLIENTS " ORDER BY xact_start LIMIT 1",
	 false},
	{"dead rows", "few",
	 "SELECT relname || ': ' || n_dead_tup || ' beside ' || n_live_tup || ' live, last vacuumed '"
	 " || coalesce(to_char(greatest(last_vacuum, last_autovacuum) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC'), 'never')"
	 " FROM pg_stat_user_tables WHERE n_dead_tup > 1000 AND n_dead_tup > n_live_tup / 5 ORDER BY n_dead_tup DESC LIMIT 5",
	 false},
	{"invalid indexes", "none",
	 "SELECT indexrelid::regclass || ' on ' || indrelid::regclass || ': DROP INDEX it, or run add_performance_indexes.sql'"
	 " FROM pg_index WHERE NOT indisvalid AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = indexrelid)"
	 " ORDER BY 1 LIMIT 20",
	 true},
	{"replication", "none that we may see",
	 "SELECT 'this is a replica, ' || coalesce(date_trunc('second', now() - pg_last_xact_replay_timestamp()) || ' behind', 'nothing "
	 "replayed yet')"
	 " WHERE pg_is_in_recovery() UNION ALL"
	 " (SELECT application_name || ': ' || state || ', ' || coalesce(replay_lag || ' behind', 'up to date') FROM pg_stat_replication"
	 "  WHERE state IS NOT NULL ORDER BY 1 LIMIT 10)",
	 false},
};

static void print(const char *label, const char *text)
{
	printf("%-20s%s\n", label, text);
}

/* How many lines it gave; -1 after telling the user why not. */
static int answer(struct accounts *a, size_t i)
{
	struct pg_result *rows = pg_sync_query(a->db, str_from(questions[i].sql), 0, NULL, &a->error);
	size_t n;

	if (!rows) {
		args_fail("%s: %s", questions[i].label, a->error.text);
		return -1;
	}
	n = pg_sync_n_rows(rows);
	if (n == 0)
		print(questions[i].label, questions[i].none);
	for (size_t row = 0; row < n; row++)
		print(row == 0 ? questions[i].label : "", pg_sync_value(rows, row, 0));
	pg_sync_free(rows);
	return (int)n;
}

static int migrations(struct accounts *a)
{
	struct migrate_plan plan = {0};
	int status = migrate_read(a->db, NULL, &plan), n_pending = 0, last = 0;
	char text[128], why[512];

	if (status == EXIT_FINE) {
		for (size_t i = 0; i < plan.n_files; i++)
			n_pending += migrate_state(&plan, plan.files[i].version) == MIGRATE_PENDING;
		if (plan.n_rows)
			last = plan.rows[plan.n_rows - 1].version;
		snprintf(text, sizeof(text), "at %04d, %d pending%s", last, n_pending, n_pending ? ": llmchatctl migrate" : "");
		print("migrations", text);
		if (migrate_check(&plan, why, sizeof(why)) != 0)
			status = args_fail("migrations: %s", why);
		else if (n_pending)
			status = EXIT_FAILED;
	}
	migrate_fini(&plan);
	return status;
}

/* Does the server have another value? SHOW speaks in the words of the file, 256MB and not 262144kB. */
static int compare(struct accounts *a, const char *name, const char *want, bool *first)
{
	const char *const params[] = {name};
	struct pg_result *rows = pg_sync_query(a->db, STR("SELECT coalesce(current_setting($1, true), '?')"), 1, params, &a->error);
	char text[256];

	if (!rows)
		return args_fail("settings: %s", a->error.text);
	if (strcmp(pg_sync_value(rows, 0, 0), want) != 0) {
		snprintf(text, sizeof(text), "%s is %s, we recommend %s", name, pg_sync_value(rows, 0, 0), want);
		print(*first ? "settings" : "", text);
		*first = false;
	}
	pg_sync_free(rows);
	return EXIT_FINE;
}

static int settings(struct accounts *a)
{
	FILE *f = fopen(SETTINGS_FILE, "re");
	char line[512], name[64], value[64];
	int status = EXIT_FINE;
	bool first = true;

	if (!f)
		return args_fail("%s: %s", SETTINGS_FILE, strerror(errno));
	while (status == EXIT_FINE && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63[a-z_] = %63s", name, value) == 2)
			status = compare(a, name, value, &first);
	fclose(f);
	if (status == EXIT_FINE && first)
		print("settings", "as we recommend");
	return status;
}

int db_status(struct accounts *a)
{
	int status = EXIT_FINE;

	for (size_t i = 0; i < N_ELEMENTS(questions); i++) {
		int n = answer(a, i);

		if (n < 0)
			return EXIT_FAILED;
		if (n > 0 && questions[i].wrong)
			status = EXIT_FAILED;
	}
	if (migrations(a) != EXIT_FINE)
		status = EXIT_FAILED;
	return settings(a) == EXIT_FINE ? status : EXIT_FAILED;
}
