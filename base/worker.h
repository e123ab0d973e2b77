/* One thread of a lower priority than the loop's (nice 5 more, SCHED_BATCH) for jobs that only compute and take long, such as password
 * hashing, and a bounded queue for it. Not libuv's pool: that one looks names up, and a thread's priority can be lowered but never
 * raised again.
 *
 * A job runs on memory of its own (`data`), not on the waiter's: a waiter may cancel and be freed while the thread still runs. */
#pragma once
#include "base/list.h"
#include "base/op.h"

struct loop;
struct worker;

/* Starts the thread. capacity: how many jobs may wait besides the one that runs. loop is borrowed until worker_free.
 * Aborts if the system has no thread or descriptor left: this belongs to start-up. */
struct worker *worker_new(struct loop *loop, size_t capacity);
/* Nobody may wait any more (cancel first); not from inside a done. Waits for the thread, so for the rest of one job that was
 * cancelled while it ran: this belongs to shutdown. free(NULL) is fine. */
void worker_free(struct worker *w);

/* One waiter; storage belongs to the caller, all zero before its first use. */
struct worker_job {
	struct op op;
	void *data; /* owned by the worker from worker_start on; in done it is there if err is 0, else NULL */
	/* the worker's own: */
	struct list node;
	struct worker *worker;
	void (*run)(void *data);
	void (*free_data)(void *data);
	uint64_t give_up_us;
	enum { WORKER_JOB_IDLE, WORKER_JOB_WAITING, WORKER_JOB_RUNNING, WORKER_JOB_ANSWERED } state;
};

/* Queues a job, first come, first served. Set job->op.done first; op.deadline_us 0 means WORKER_PATIENCE_US from now.
 *   run        is called on the thread and may touch *data and nothing else: no log, no clock of ours, no crypto_random.
 *   data       is taken. done may read it; it is freed when done has returned, also if the job was refused or given up.
 *   free_data  is called from the loop's thread, once for every data, perhaps before worker_start returns.
 * op.err: 0 once run has returned; -ERR_OVERLOADED if `capacity` jobs wait already, or when the deadline has passed.
 * op_cancel (and the deadline) removes a job that waits; one that runs is let go: it runs to its end and is freed then. */
void worker_start(struct worker *w, struct worker_job *job, void (*run)(void *data), void *data, void (*free_data)(void *data));

enum { WORKER_PATIENCE_US = 30000000 };

/* Jobs that wait, without the one that runs. */
size_t worker_n_waiting(const struct worker *w);
