/* The table of jobs, and who runs them when. */
#include "chat/jobs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/process.h"
#include "db/budgets.h"
#include "db/retention.h"
#include "db/search.h"
#include "db/usage.h"

/* A login takes its refresh tokens along, hundreds of them: fewer at once, so that the statement is over long before its timeout. */
enum { MAX_ROWS = 10000, MAX_LOGINS = 1000, MAX_MESSAGES = 2000, MAX_SESSIONS = 1000, MAX_INDEXED = 32 };

/* A job that leaves something behind rests so much longer than it worked: turns come first, whatever the backlog. */
enum { REST = 10 };

static void logins(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	retention_logins(pool, q, conf->refresh_token_ttl_s, max);
}

static void login_failures(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	(void)conf;
	retention_login_failures(pool, q, max);
}

static void changes(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	(void)conf;
	retention_changes(pool, q, max);
}

static void audit_log(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	retention_audit(pool, q, conf->audit_retention_days, max);
}

static void idempotency_keys(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	(void)conf;
	retention_idempotency_keys(pool, q, max);
}

static void session_messages(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	retention_session_messages(pool, q, conf->retention_days, max);
}

static void sessions(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	retention_sessions(pool, q, conf->retention_days, max);
}

static void usage(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	(void)conf;
	usage_count(pool, q, max);
}

/* What responders have not settled themselves because they died, or PostgreSQL was away. */
static void budgets(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	(void)conf;
	budgets_settle_all(pool, q, max);
}

/* What was said is found some seconds later. */
static void search(struct pool *pool, struct query *q, const struct conf *conf, int64_t max)
{
	(void)conf;
	search_index(pool, q, max);
}

static const struct job {
	const char *name;
	bool deletes; /* what people may miss: it is logged */
	void (*start)(struct pool *pool, struct query *q, const struct conf *conf, int64_t max);
	int64_t max;
	int64_t full; /* so many rows, and there may be more */
	unsigned interval_ms;
} table[] = {
	{"logins", true, logins, MAX_LOGINS, MAX_LOGINS, 3600000},
	{"login_failures", true, login_failures, MAX_ROWS, MAX_ROWS, 300000},
	{"changes", true, changes, MAX_ROWS, MAX_ROWS, 600000},
	{"audit_log", true, audit_log, MAX_ROWS, MAX_ROWS, 3600000},
	{"idempotency_keys", true, idempotency_keys, MAX_ROWS, MAX_ROWS, 600000},
	{"session_messages", true, session_messages, MAX_MESSAGES, 1, 600000},
	{"sessions", true, sessions, MAX_SESSIONS, MAX_SESSIONS, 600000},
	/* with its jitter, and the time to take over from another: within a minute */
	{"usage", false, usage, MAX_ROWS, MAX_ROWS, 30000},
	{"budgets", false, budgets, MAX_ROWS, MAX_ROWS, 10000},
	{"search", false, search, MAX_INDEXED, MAX_INDEXED, 2000},
};

const struct jobs_timing JOBS_TIMING = {.lock = 3000, .first = 5000, .more = 50, .rest = 30000, .retry = 60000};

struct jobs {
	struct pool *pool;
	const struct conf *conf;
	struct process *process;
	const struct jobs_timing *timing;
	struct timer timer;
	struct query query;
	size_t running; /* while the query is out */
	uint64_t began_us;
	struct {
		uint64_t due_us;
		struct backoff backoff; /* of its failures */
	} all[N_ELEMENTS(table)];
	int lock_fd; /* -1: not ours */
	bool lock_failing, stopped;
};

/* Up to a quarter more, so that hosts which started together part. */
static unsigned jittered(unsigned ms)
{
	return ms + crypto_random_below(ms / 4 + 1);
}

static void take_lock(struct jobs *jobs)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/jobs.lock", jobs->process->run_dir);
	fd = open(path, O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 && !jobs->lock_failing)
		log_error(NULL, "jobs_lock_failed", "path", path, "errno", errno);
	jobs->lock_failing = fd < 0;
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
		close(fd);
		fd = -1;
	}
	jobs->lock_fd = fd;
	if (fd < 0)
		return;
	log_info(NULL, "jobs_taken");
	process_set(jobs->process, COUNT_JOBS, 1);
	for (size_t i = 0; i < N_ELEMENTS(table); i++)
		jobs->all[i].due_us = clock_mono_us() + (uint64_t)crypto_random_below(jobs->timing->first) * 1000;
}

static void let_go(struct jobs *jobs)
{
	if (jobs->lock_fd < 0)
		return;
	process_set(jobs->process, COUNT_JOBS, 0);
	close(jobs->lock_fd);
	jobs->lock_fd = -1;
}

static size_t next_due(const struct jobs *jobs)
{
	size_t next = 0;

	for (size_t i = 1; i < N_ELEMENTS(table); i++)
		if (jobs->all[i].due_us < jobs->all[next].due_us)
			next = i;
	return next;
}

static void wait_for_next(struct jobs *jobs)
{
	uint64_t now_us = clock_mono_us(), due_us = jobs->all[next_due(jobs)].due_us;

	if (!jobs->stopped)
		timer_start(&jobs->timer, due_us > now_us ? (due_us - now_us + 999) / 1000 : 0);
}

/* Each failure is told once, and its end. */
static void note_outcome(struct jobs *jobs, const struct op *op, int64_t n_rows)
{
	const struct job *job = &table[jobs->running];
	bool failing = jobs->all[jobs->running].backoff.n_failures > 0;

	if (op->err && !failing)
		log_warn(NULL, "job_failed", "job", job->name, "code", err_info(op->err)->code, "sqlstate", query_sqlstate(&jobs->query));
	else if (!op->err && failing)
		log_info(NULL, "job_works_again", "job", job->name);
	if (n_rows > 0 && job->deletes)
		log_info(NULL, "rows_expired", "job", job->name, "rows", n_rows);
}

static unsigned rest_ms(const struct jobs *jobs, uint64_t now_us)
{
	uint64_t ms = (now_us - jobs->began_us) * REST / 1000;

	if (ms < jobs->timing->more)
		return jobs->timing->more;
	return ms < jobs->timing->rest ? (unsigned)ms : jobs->timing->rest;
}

static void on_done(struct op *op)
{
	struct jobs *jobs = CONTAINER_OF(op, struct jobs, query.op);
	const struct job *job = &table[jobs->running];
	int64_t n_rows = op->err ? 0 : query_n_affected(&jobs->query);
	uint64_t now_us = clock_mono_us();
	unsigned pause_ms = jittered(job->interval_ms);

	note_outcome(jobs, op, n_rows);
	if (op->err)
		pause_ms = backoff_next_ms(&jobs->all[jobs->running].backoff);
	else
		backoff_reset(&jobs->all[jobs->running].backoff);
	if (n_rows >= job->full)
		pause_ms = rest_ms(jobs, now_us);
	jobs->all[jobs->running].due_us = now_us + (uint64_t)pause_ms * 1000;
	query_fini(&jobs->query);
	wait_for_next(jobs);
}

static void on_tick(void *arg)
{
	struct jobs *jobs = arg;
	size_t next;

	if (jobs->lock_fd < 0)
		take_lock(jobs);
	if (jobs->lock_fd < 0 || !pool_stats(jobs->pool).reachable) {
		timer_start(&jobs->timer, jittered(jobs->timing->lock));
		return;
	}
	next = next_due(jobs);
	if (jobs->all[next].due_us > clock_mono_us()) {
		wait_for_next(jobs);
		return;
	}
	jobs->running = next;
	jobs->began_us = clock_mono_us();
	jobs->query.op.done = on_done;
	table[next].start(jobs->pool, &jobs->query, jobs->conf, table[next].max);
}

struct jobs *jobs_new(struct loop *loop, struct pool *pool, const struct conf *conf, struct process *process,
		      const struct jobs_timing *timing)
{
	struct jobs *jobs = mem_alloc(sizeof(*jobs));

	jobs->pool = pool;
	jobs->conf = conf;
	jobs->process = process;
	jobs->timing = timing;
	jobs->lock_fd = -1;
	for (size_t i = 0; i < N_ELEMENTS(table); i++)
		jobs->all[i].backoff = (struct backoff){
			.base_ms = timing->retry,
			.max_ms = table[i].interval_ms > timing->retry ? table[i].interval_ms : timing->retry,
		};
	query_init(&jobs->query);
	timer_init(&jobs->timer, loop, on_tick, jobs);
	timer_start(&jobs->timer, 0);
	return jobs;
}

void jobs_stop(struct jobs *jobs)
{
	jobs->stopped = true;
	timer_stop(&jobs->timer);
	let_go(jobs);
}

bool jobs_held(const struct jobs *jobs)
{
	return jobs->lock_fd >= 0;
}

void jobs_free(struct jobs *jobs)
{
	if (!jobs)
		return;
	jobs_stop(jobs);
	query_fini(&jobs->query);
	timer_fini(&jobs->timer);
	free(jobs);
}
