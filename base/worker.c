/* The thread gets one job at a time, by a semaphore, and gives it back by an eventfd; the queue belongs to the loop alone. So there
 * is no lock: the thread could be put aside while it holds one, for as long as anything else has work, and the loop would wait. */
#include "base/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

enum { TICK_MS = 100, NICER_BY = 5 };

struct worker {
	struct loop *loop; /* borrowed */
	size_t capacity, n_waiting;
	struct list waiting;  /* jobs for the thread, the oldest first */
	struct list answered; /* jobs whose waiters are told in the next deferred run */
	struct defer tell;
	struct timer tick; /* deadlines, while anybody waits */
	bool ticking;
	struct worker_job *running; /* the waiter of what the thread has; NULL: nobody, or it was let go */

	pthread_t thread;
	sem_t go;
	int finished_fd; /* eventfd: the thread is idle again */
	struct watch finished_watch;
	bool busy;           /* as the loop knows it; only while it is false may the loop write what follows */
	void (*run)(void *); /* what the thread has */
	void *data;          /* owned */
	void (*free_data)(void *);
	atomic_bool finished; /* run has returned; orders the thread's writes before the loop's reads */
	atomic_bool stopping;
	atomic_int priority_errno; /* the thread's, for the loop to log */
};

/* Below the loop, so that a loop that has much to do keeps three quarters of its core; not lowest of all, since everything else on
 * the machine comes first then as well. A password hash of 0.15 s on a core that another process keeps busy took 0.5 s at nice 0, 1 s
 * at 5, 3 s at 10, 10 s at 15 and more than 20 s at 19, while the loop's timers were late by the same at each (99.9 %: 4 ms beside
 * hashes alone, 10 to 20 ms beside that process). */
static void lower_priority(struct worker *w)
{
	const struct sched_param none = {0};
	int error = pthread_setschedparam(pthread_self(), SCHED_BATCH, &none);

	if (setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICER_BY) != 0) /* 0: this thread; with Linux each has its own */
		error = errno;
	atomic_store(&w->priority_errno, error);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	const uint64_t one = 1;

	lower_priority(w);
	for (;;) {
		while (sem_wait(&w->go) != 0)
			;
		if (atomic_load(&w->stopping))
			return NULL;
		w->run(w->data);
		atomic_store(&w->finished, true);
		while (write(w->finished_fd, &one, sizeof(one)) < 0 && errno == EINTR)
			;
	}
}

/* The next job goes to the thread if it is idle. */
static void hand_over(struct worker *w)
{
	struct list *node = w->busy ? NULL : list_pop(&w->waiting);
	struct worker_job *job;

	if (!node)
		return;
	job = CONTAINER_OF(node, struct worker_job, node);
	w->n_waiting--;
	w->running = job;
	job->state = WORKER_JOB_RUNNING;
	w->run = job->run;
	w->data = job->data;
	w->free_data = job->free_data;
	w->busy = true;
	sem_post(&w->go);
}

static void tell(struct defer *d)
{
	struct worker *w = CONTAINER_OF(d, struct worker, tell);
	struct list batch, *node;

	list_init(&batch);
	list_move_all(&batch, &w->answered);
	while ((node = list_pop(&batch))) {
		struct worker_job *job = CONTAINER_OF(node, struct worker_job, node);
		void (*free_data)(void *) = job->free_data;
		void *data = job->data;

		job->state = WORKER_JOB_IDLE;
		op_finish(&job->op, job->op.err); /* the job may be gone now */
		if (data)
			free_data(data);
	}
}

static void answer(struct worker_job *job, int err)
{
	job->op.err = err;
	job->state = WORKER_JOB_ANSWERED;
	list_push(&job->worker->answered, &job->node);
	loop_defer(job->worker->loop, &job->worker->tell, tell);
}

/* Takes the job out of wherever it is. What the thread has stays with the thread. */
static void let_go(struct worker_job *job)
{
	struct worker *w = job->worker;

	list_remove(&job->node);
	if (job->state == WORKER_JOB_WAITING)
		w->n_waiting--;
	if (job->state == WORKER_JOB_RUNNING)
		w->running = NULL;
	else if (job->data)
		job->free_data(job->data);
	job->data = NULL;
	job->state = WORKER_JOB_IDLE;
}

static void cancel(struct op *op)
{
	let_go(CONTAINER_OF(op, struct worker_job, op));
}

static void on_finished(void *arg, int events)
{
	struct worker *w = arg;
	struct worker_job *job = w->running;
	uint64_t n;
	int error = atomic_exchange(&w->priority_errno, 0);

	(void)events;
	if (read(w->finished_fd, &n, sizeof(n)) != (ssize_t)sizeof(n) || !atomic_exchange(&w->finished, false))
		return;
	if (error)
		log_warn(NULL, "worker_priority_not_lowered", "error", strerror(error));
	w->busy = false;
	w->running = NULL;
	if (job)
		answer(job, 0);
	else
		w->free_data(w->data);
	hand_over(w);
}

static void give_up(struct worker_job *job)
{
	let_go(job);
	answer(job, -ERR_OVERLOADED);
}

static void on_tick(void *arg)
{
	struct worker *w = arg;
	uint64_t now_us = clock_mono_us();

	if (w->running && w->running->give_up_us <= now_us)
		give_up(w->running);
	for (struct list *l = w->waiting.next, *next; l != &w->waiting; l = next) {
		struct worker_job *job = CONTAINER_OF(l, struct worker_job, node);

		next = l->next;
		if (job->give_up_us <= now_us)
			give_up(job);
	}
	w->ticking = w->running || w->n_waiting > 0;
	if (w->ticking)
		timer_start(&w->tick, TICK_MS);
}

void worker_start(struct worker *w, struct worker_job *job, void (*run)(void *data), void *data, void (*free_data)(void *data))
{
	assert(job->op.done && !op_waiting(&job->op));
	job->worker = w;
	job->run = run;
	job->free_data = free_data;
	job->data = data;
	job->give_up_us = job->op.deadline_us ? job->op.deadline_us : clock_mono_us() + WORKER_PATIENCE_US;
	job->op.cancel = cancel;
	list_init(&job->node);
	if (w->n_waiting >= w->capacity && w->busy) {
		job->state = WORKER_JOB_IDLE;
		give_up(job);
		return;
	}
	job->state = WORKER_JOB_WAITING;
	list_push(&w->waiting, &job->node);
	w->n_waiting++;
	hand_over(w);
	if (!w->ticking) /* started anew by every waiter it would never fire under load */
		timer_start(&w->tick, TICK_MS);
	w->ticking = true;
}

size_t worker_n_waiting(const struct worker *w)
{
	return w->n_waiting;
}

/* The loop's thread handles signals; a thread that is started while all are blocked never sees one. */
static void start_thread(struct worker *w)
{
	sigset_t all, before;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&w->thread, NULL, work, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error) {
		fprintf(stderr, "the worker's thread cannot be started: %s\n", strerror(error));
		abort();
	}
	pthread_setname_np(w->thread, "worker");
}

struct worker *worker_new(struct loop *loop, size_t capacity)
{
	struct worker *w = mem_alloc(sizeof(*w));

	w->loop = loop;
	w->capacity = capacity;
	list_init(&w->waiting);
	list_init(&w->answered);
	list_init(&w->tell.node);
	timer_init(&w->tick, loop, on_tick, w);
	w->finished_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->finished_fd < 0 || sem_init(&w->go, 0, 0) != 0) {
		perror("the worker cannot be started");
		abort();
	}
	watch_init(&w->finished_watch, loop, w->finished_fd, on_finished, w);
	watch_set(&w->finished_watch, WATCH_READ);
	start_thread(w);
	return w;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	assert(!w->running && list_empty(&w->waiting) && list_empty(&w->answered));
	atomic_store(&w->stopping, true);
	sem_post(&w->go);
	pthread_join(w->thread, NULL);
	if (w->busy)
		w->free_data(w->data);
	defer_cancel(&w->tell);
	watch_fini(&w->finished_watch);
	timer_fini(&w->tick);
	close(w->finished_fd);
	sem_destroy(&w->go);
	free(w);
}
