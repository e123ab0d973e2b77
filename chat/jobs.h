/* What is done now and then, by one responder of the host: whoever holds the lock file RUN_DIR/jobs.lock. The kernel gives the lock
 * back when its holder dies, and a draining one lets go of it, so another takes over within seconds. Each job is one statement with a
 * bound; two hosts that share a database may run the same one at once. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct conf;
struct jobs;
struct loop;
struct pool;
struct process;

/* In milliseconds; tests have shorter ones. */
struct jobs_timing {
	unsigned lock;  /* between two tries to get the lock, or while the database is away */
	unsigned first; /* within this after the lock is ours every job runs for the first time */
	unsigned more;  /* at least, before the next run of a job that left something behind: it rests ten times as long as it worked */
	unsigned rest;  /* and at most */
	unsigned retry; /* at most, before the next run of a job that failed once; after each failure more it is twice that */
};
extern const struct jobs_timing JOBS_TIMING;

/* Begins at once. All is borrowed until jobs_free. */
struct jobs *jobs_new(struct loop *loop, struct pool *pool, const struct conf *conf, struct process *process,
		      const struct jobs_timing *timing);
void jobs_free(struct jobs *jobs);
/* Draining: gives the lock to another and begins nothing any more; what runs comes to its end. */
void jobs_stop(struct jobs *jobs);
/* Is it us who run them? */
bool jobs_held(const struct jobs *jobs);
