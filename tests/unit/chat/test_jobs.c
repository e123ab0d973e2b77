/* Who runs the jobs of a host, and when, on a real PostgreSQL with the project's own tables. */
#include "tests/unit/db/fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/process.h"
#include "chat/jobs.h"

static const struct jobs_timing quick = {.lock = 40, .first = 20, .more = 10, .rest = 100, .retry = 100};

static char dir[64];
static struct process self, other;
static struct jobs *jobs, *others;

static void make_dir(void)
{
	char why[256];

	snprintf(dir, sizeof(dir), "/tmp/jobs-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(process_open(&self, dir, "node", 1, why, sizeof(why)), 0);
	assert_int_equal(process_open(&other, dir, "node", 2, why, sizeof(why)), 0);
}

static int begin(void **state)
{
	struct world *w;

	if (make_world(state) != 0)
		return -1;
	w = *state;
	w->conf.audit_retention_days = 90;
	w->conf.retention_days = 30;
	w->conf.refresh_token_ttl_s = 2592000;
	make_dir();
	world_pool(w, 2, 1);
	run_sql(w, "TRUNCATE login_failures");
	return 0;
}

static int end(void **state)
{
	char command[96];

	jobs_free(jobs);
	jobs_free(others);
	jobs = others = NULL;
	process_close(&self);
	process_close(&other);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	return end_world(state) == 0 && system(command) == 0 ? 0 : -1; /* NOLINT(cert-env33-c) */
}

static void start(struct world *w)
{
	jobs = jobs_new(w->loop, w->pool, &w->conf, &self, &quick);
}

static void make_failures(struct world *w, unsigned n)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "INSERT INTO login_failures (kind, key, failures, expires_at)"
		 " SELECT 'name', i::text, 1, now() - interval '1 second' FROM generate_series(1, %u) i",
		 n);
	run_sql(w, sql);
}

static int64_t n_failures(struct world *w)
{
	return number(w, "SELECT count(*) FROM login_failures");
}

static bool none_left(struct world *w)
{
	return n_failures(w) == 0;
}

static bool is_held(struct world *w)
{
	(void)w;
	return jobs_held(jobs);
}

static void every_job_runs_soon_after_the_lock_is_ours(void **state)
{
	struct world *w = *state;

	make_failures(w, 5);
	run_sql(w,
		"INSERT INTO audit_log (at, type, actor, address, request_id) VALUES (now() - interval '91 days', 'login', 'a', '', '')");
	log_capture();
	start(w);
	wait_until(w, none_left);
	assert_true(jobs_held(jobs));
	assert_int_equal(process_get(self.page, COUNT_JOBS), 1);
	turn_for_ms(w, 100);
	assert_non_null(strstr(log_captured(), "\"job\":\"login_failures\",\"rows\":5"));
	assert_int_equal(number(w, "SELECT count(*) FROM audit_log"), 0);
}

static void what_is_left_behind_goes_soon(void **state)
{
	struct world *w = *state;

	make_failures(w, 20500);
	log_capture();
	start(w);
	wait_until(w, none_left);
	turn_for_ms(w, 50);
	log_captured();
	/* And then not again for a while. */
	make_failures(w, 5);
	turn_for_ms(w, 300);
	assert_int_equal(n_failures(w), 5);
}

static void one_of_two_runs_them_and_the_other_takes_over(void **state)
{
	struct world *w = *state;

	start(w);
	wait_until(w, is_held);
	others = jobs_new(w->loop, w->pool, &w->conf, &other, &quick);
	turn_for_ms(w, 200);
	assert_true(jobs_held(jobs));
	assert_false(jobs_held(others));
	assert_int_equal(process_get(other.page, COUNT_JOBS), 0);
	jobs_stop(jobs);
	assert_false(jobs_held(jobs));
	assert_int_equal(process_get(self.page, COUNT_JOBS), 0);
	make_failures(w, 5);
	wait_until(w, none_left);
	assert_true(jobs_held(others));
	turn_for_ms(w, 100);
	assert_false(jobs_held(jobs)); /* stopped is stopped */
}

static void a_holder_that_is_killed_is_replaced(void **state)
{
	struct world *w = *state;
	char path[96], ready;
	int fds[2];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/jobs.lock", dir);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(path, O_CREAT | O_RDWR, 0600);

		if (fd < 0 || flock(fd, LOCK_EX) != 0 || write(fds[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(fds[0], &ready, 1), 1);
	close(fds[0]);
	close(fds[1]);
	start(w);
	turn_for_ms(w, 200);
	assert_false(jobs_held(jobs));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	wait_until(w, is_held);
}

static unsigned n_times(const char *text, const char *part)
{
	unsigned n = 0;

	while ((text = strstr(text, part))) {
		text += strlen(part);
		n++;
	}
	return n;
}

static void a_failure_is_told_once_and_its_end_too(void **state)
{
	struct world *w = *state;
	const char *log;

	make_failures(w, 5);
	run_sql(w, "ALTER TABLE login_failures RENAME TO elsewhere");
	log_capture();
	start(w);
	turn_for_ms(w, 1000);
	run_sql(w, "ALTER TABLE elsewhere RENAME TO login_failures");
	wait_until(w, none_left);
	turn_for_ms(w, 50);
	log = log_captured();
	assert_int_equal(n_times(log, "\"job_failed\""), 1);
	assert_non_null(strstr(log, "42P01"));
	assert_int_equal(n_times(log, "\"job_works_again\""), 1);
	assert_in_range(n_times(log, "\"statement_failed\""), 2, 8); /* tried again, ever less often */
}

static void a_lock_that_cannot_be_made_is_told_once(void **state)
{
	struct world *w = *state;
	char path[96];

	snprintf(path, sizeof(path), "%s/jobs.lock", dir);
	assert_int_equal(symlink(path, path), 0);
	log_capture();
	start(w);
	turn_for_ms(w, 300);
	assert_int_equal(n_times(log_captured(), "\"jobs_lock_failed\""), 1);
	assert_false(jobs_held(jobs));
	unlink(path);
	wait_until(w, is_held);
}

static void may_be_freed_in_the_middle(void **state)
{
	struct world *w = *state;

	make_failures(w, 10000);
	for (unsigned i = 0; i < 10; i++) {
		start(w);
		turn_for_ms(w, 3 * i);
		jobs_free(jobs);
		jobs = NULL;
	}
	start(w);
	jobs_stop(jobs); /* before it has begun */
	turn_for_ms(w, 100);
	assert_false(jobs_held(jobs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
		T(every_job_runs_soon_after_the_lock_is_ours),
		T(what_is_left_behind_goes_soon),
		T(one_of_two_runs_them_and_the_other_takes_over),
		T(a_holder_that_is_killed_is_replaced),
		T(a_failure_is_told_once_and_its_end_too),
		T(a_lock_that_cannot_be_made_is_told_once),
		T(may_be_freed_in_the_middle),
#undef T
	};

	return cmocka_run_group_tests(tests, make_tables, stop_server);
}
