/* The worker: order, refusals, deadlines, and waiters that leave while their job waits, runs or has just been answered. */
#include "base/worker.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/support.h"

enum { CAPACITY = 4 };

struct world {
	struct loop *loop;
	struct worker *worker;
	sem_t gate;      /* jobs with `gated` wait here */
	sem_t entered;   /* posted when such a job has begun */
	atomic_int live; /* datas that are not freed yet */
	char order[64];  /* names of the jobs as they were told */
	size_t n_told;
};

static int make_world(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	clock_set_for_test(0, 0);
	w->loop = loop_new();
	w->worker = worker_new(w->loop, CAPACITY);
	sem_init(&w->gate, 0, 0);
	sem_init(&w->entered, 0, 0);
	*state = w;
	return 0;
}

static int end_world(void **state)
{
	struct world *w = *state;

	worker_free(w->worker);
	assert_int_equal(atomic_load(&w->live), 0);
	clock_set_for_test(0, 0);
	assert_true(loop_free(w->loop));
	sem_destroy(&w->gate);
	sem_destroy(&w->entered);
	free(w);
	return 0;
}

/* What the thread works on. */
struct sum {
	struct world *world;
	bool gated;
	unsigned upto;
	unsigned long result;
	pthread_t thread;
};

struct ask {
	struct worker_job job;
	struct world *world;
	char name;
	int err;
	unsigned told;
	unsigned long result;
	struct ask *cancels, *starts; /* from its done */
	bool free_it;                 /* in its done */
};

static void add_up(void *arg)
{
	struct sum *s = arg;

	s->thread = pthread_self();
	if (s->gated) {
		sem_post(&s->world->entered);
		while (sem_wait(&s->world->gate) != 0)
			;
	}
	for (unsigned i = 1; i <= s->upto; i++)
		s->result += i;
}

static void free_sum(void *arg)
{
	struct sum *s = arg;

	atomic_fetch_sub(&s->world->live, 1);
	free(s);
}

static void start(struct ask *a, bool gated);

static void on_done(struct op *op)
{
	struct ask *a = CONTAINER_OF(op, struct ask, job.op);
	struct world *w = a->world;
	struct sum *s = a->job.data;

	assert_false(op_waiting(op));
	a->err = op->err;
	a->told++;
	w->order[w->n_told++] = a->name;
	if (op->err == 0) {
		a->result = s->result;
		assert_false(pthread_equal(s->thread, pthread_self()));
	} else {
		assert_null(s);
	}
	if (a->cancels)
		op_cancel(&a->cancels->job.op);
	if (a->starts)
		start(a->starts, false);
	if (a->free_it)
		free(a);
}

static struct ask *new_ask(struct world *w, char name)
{
	struct ask *a = mem_alloc(sizeof(*a));

	a->world = w;
	a->name = name;
	a->job.op.done = on_done;
	return a;
}

static void start(struct ask *a, bool gated)
{
	struct sum *s = mem_alloc(sizeof(*s));
	size_t n_told = a->world->n_told;

	*s = (struct sum){.world = a->world, .gated = gated, .upto = 100};
	atomic_fetch_add(&a->world->live, 1);
	worker_start(a->world->worker, &a->job, add_up, s, free_sum);
	assert_true(op_waiting(&a->job.op));
	assert_int_equal(a->world->n_told, n_told); /* never from inside */
}

/* Starts a job that holds the thread until open_gate. */
static struct ask *hold(struct world *w)
{
	struct ask *a = new_ask(w, 'H');

	start(a, true);
	while (sem_wait(&w->entered) != 0)
		;
	return a;
}

static void open_gate(struct world *w)
{
	sem_post(&w->gate);
}

static void works_on_another_thread_and_tells_in_order(void **state)
{
	struct world *w = *state;
	struct ask *asks[CAPACITY];

	for (int i = 0; i < CAPACITY; i++) {
		asks[i] = new_ask(w, (char)('a' + i));
		start(asks[i], false);
	}
	TURN_UNTIL(w->loop, w->n_told == CAPACITY);
	assert_string_equal(w->order, "abcd");
	for (int i = 0; i < CAPACITY; i++) {
		assert_int_equal(asks[i]->err, 0);
		assert_int_equal(asks[i]->result, 5050);
		assert_int_equal(asks[i]->told, 1);
		free(asks[i]);
	}
	assert_int_equal(atomic_load(&w->live), 0);
}

static void look_around(void *arg)
{
	struct world *w = arg;
	sigset_t blocked;
	int loops = getpriority(PRIO_PROCESS, (id_t)getpid());

	w->order[0] = getpriority(PRIO_PROCESS, 0) == (loops < 14 ? loops + 5 : 19) ? 'n' : '-';
	w->order[1] = sched_getscheduler(0) == SCHED_BATCH ? 'b' : '-';
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	w->order[2] = 's';
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGKILL && sig != SIGSTOP && !(sig >= 32 && sig < SIGRTMIN) && sigismember(&blocked, sig) != 1)
			w->order[2] = '-';
}

static void forget(void *arg)
{
	(void)arg;
}

static void on_looked(struct op *op)
{
	struct worker_job *job = CONTAINER_OF(op, struct worker_job, op);

	((struct world *)job->data)->n_told = 1;
}

static void the_thread_has_a_lower_priority_and_no_signals(void **state)
{
	struct world *w = *state;
	struct worker_job job = {.op.done = on_looked};

	worker_start(w->worker, &job, look_around, w, forget);
	TURN_UNTIL(w->loop, w->n_told == 1);
	assert_string_equal(w->order, "nbs");
	assert_int_equal(getpriority(PRIO_PROCESS, 0), getpriority(PRIO_PROCESS, (id_t)getpid())); /* ours is as it was */
	assert_int_not_equal(sched_getscheduler(0), SCHED_BATCH);
}

static void refuses_what_is_too_much(void **state)
{
	struct world *w = *state;
	struct ask *held = hold(w), *asks[CAPACITY + 2];

	for (int i = 0; i < CAPACITY + 2; i++) {
		asks[i] = new_ask(w, (char)('a' + i));
		start(asks[i], false);
	}
	assert_int_equal(worker_n_waiting(w->worker), CAPACITY);
	turn_few(w->loop);
	assert_string_equal(w->order, "ef");
	assert_int_equal(asks[CAPACITY]->err, -ERR_OVERLOADED);
	assert_int_equal(asks[CAPACITY + 1]->err, -ERR_OVERLOADED);
	/* one that leaves makes room */
	op_cancel(&asks[1]->job.op);
	assert_int_equal(worker_n_waiting(w->worker), CAPACITY - 1);
	start(asks[CAPACITY], false);
	open_gate(w);
	TURN_UNTIL(w->loop, w->n_told == 2 + 1 + CAPACITY);
	assert_string_equal(w->order, "efHacde");
	for (int i = 0; i < CAPACITY + 2; i++)
		free(asks[i]);
	free(held);
}

static void a_cancelled_job_is_never_told(void **state)
{
	struct world *w = *state;
	struct ask *running = hold(w), *waiting = new_ask(w, 'w'), *after = new_ask(w, 'a'), *refused[CAPACITY];

	start(waiting, false);
	start(after, false);
	/* while it waits: its memory may go at once */
	op_cancel(&waiting->job.op);
	free(waiting);
	assert_int_equal(atomic_load(&w->live), 2);
	/* while it runs: so may this, but not what the thread works on */
	op_cancel(&running->job.op);
	free(running);
	assert_int_equal(atomic_load(&w->live), 2);
	/* after it was refused, before it was told */
	for (int i = 0; i < CAPACITY; i++) {
		refused[i] = new_ask(w, 'r');
		start(refused[i], false);
	}
	op_cancel(&refused[CAPACITY - 1]->job.op);
	for (int i = 0; i < CAPACITY; i++) {
		op_cancel(&refused[i]->job.op);
		free(refused[i]);
	}
	open_gate(w);
	TURN_UNTIL(w->loop, w->n_told == 1);
	turn_for_ms(w->loop, 20);
	assert_string_equal(w->order, "a");
	assert_int_equal(after->result, 5050);
	assert_int_equal(atomic_load(&w->live), 0);
	free(after);
}

/* Also one that the thread has finished but of which the loop has not heard yet. */
static void a_job_may_be_cancelled_between_its_end_and_its_done(void **state)
{
	struct world *w = *state;
	struct ask *a = hold(w);

	open_gate(w);
	poll(NULL, 0, 30);
	op_cancel(&a->job.op);
	free(a);
	TURN_UNTIL(w->loop, atomic_load(&w->live) == 0);
	assert_int_equal(w->n_told, 0);
}

static void a_done_may_cancel_another_start_a_third_and_free_itself(void **state)
{
	struct world *w = *state;
	struct ask *held = hold(w), *asks[CAPACITY], *first = new_ask(w, '1'), *second = new_ask(w, '2'), *third = new_ask(w, '3');

	for (int i = 0; i < CAPACITY; i++) {
		asks[i] = new_ask(w, 'a');
		start(asks[i], false);
	}
	/* both refused, so both are told in the same run: the first takes the second away */
	first->cancels = second;
	first->free_it = true;
	start(first, false);
	start(second, false);
	turn_few(w->loop);
	assert_string_equal(w->order, "1");
	for (int i = 1; i < CAPACITY; i++)
		op_cancel(&asks[i]->job.op);
	asks[0]->starts = third;
	asks[0]->free_it = true;
	held->free_it = true;
	open_gate(w);
	TURN_UNTIL(w->loop, w->n_told == 4);
	assert_string_equal(w->order, "1Ha3");
	for (int i = 1; i < CAPACITY; i++)
		free(asks[i]);
	free(second);
	free(third);
}

static void gives_up_at_the_deadline_waiting_or_running(void **state)
{
	struct world *w = *state;
	struct ask *running = new_ask(w, 'r'), *soon = new_ask(w, 's'), *late = new_ask(w, 'l'), *patient = new_ask(w, 'p');
	uint64_t now_us = 1000000;

	clock_set_for_test(now_us, now_us);
	running->job.op.deadline_us = now_us + 5000000;
	soon->job.op.deadline_us = now_us + 1000000;
	late->job.op.deadline_us = now_us + 60000000;
	start(running, true);
	while (sem_wait(&w->entered) != 0)
		;
	start(soon, false);
	start(late, false);
	start(patient, false); /* has no deadline: the worker's own */
	clock_set_for_test(now_us + 999999, now_us);
	turn_for_ms(w->loop, 250);
	assert_int_equal(w->n_told, 0);
	clock_set_for_test(now_us + 1000000, now_us);
	TURN_UNTIL(w->loop, w->n_told == 1);
	clock_set_for_test(now_us + 5000000, now_us);
	TURN_UNTIL(w->loop, w->n_told == 2);
	clock_set_for_test(now_us + WORKER_PATIENCE_US, now_us);
	TURN_UNTIL(w->loop, w->n_told == 3);
	assert_string_equal(w->order, "srp");
	assert_int_equal(soon->err, -ERR_OVERLOADED);
	assert_int_equal(running->err, -ERR_OVERLOADED);
	assert_int_equal(patient->err, -ERR_OVERLOADED);
	free(running); /* the thread is still at it */
	open_gate(w);
	TURN_UNTIL(w->loop, w->n_told == 4);
	assert_int_equal(late->err, 0);
	assert_int_equal(late->result, 5050);
	free(soon);
	free(late);
	free(patient);
}

static void *open_gate_later(void *arg)
{
	poll(NULL, 0, 50);
	open_gate(arg);
	return NULL;
}

static void freeing_the_worker_waits_for_what_was_let_go(void **state)
{
	struct world *w = *state;
	struct ask *a = hold(w);
	pthread_t opener;

	op_cancel(&a->job.op);
	free(a);
	assert_int_equal(pthread_create(&opener, NULL, open_gate_later, w), 0);
	worker_free(w->worker);
	assert_int_equal(atomic_load(&w->live), 0);
	pthread_join(opener, NULL);
	w->worker = NULL;
	worker_free(NULL);
}

static void leaves_no_descriptor(void **state)
{
	struct world *w = *state;
	size_t n;

	turn_few(w->loop);
	n = count_fds();
	for (int i = 0; i < 20; i++) {
		struct worker *worker = worker_new(w->loop, 1);

		worker_free(worker);
	}
	turn_few(w->loop);
	assert_int_equal(count_fds(), n);
}

/* Waiters that come and leave as chance has it: each is told once, or never if it left. */
static void many_come_and_go(void **state)
{
	struct world *w = *state;
	struct ask *asks[CAPACITY * 2];
	uint32_t seed = 42;
	unsigned n_done = 0, n_gone = 0;

	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		asks[i] = new_ask(w, 'x');
	for (unsigned round = 0; round < 4000; round++) {
		struct ask *a = asks[next_random(&seed) % N_ELEMENTS(asks)];

		w->n_told = 0;
		if (!op_waiting(&a->job.op)) {
			n_done += a->told;
			a->told = 0;
			start(a, false);
		} else if (next_random(&seed) % 2) {
			op_cancel(&a->job.op);
			n_gone++;
			assert_int_equal(a->told, 0);
		}
		if (next_random(&seed) % 3 == 0)
			loop_turn(w->loop, false);
	}
	for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
		w->n_told = 0;
		TURN_UNTIL(w->loop, !op_waiting(&asks[i]->job.op));
		assert_true(asks[i]->told <= 1);
		free(asks[i]);
	}
	assert_true(n_done > 100 && n_gone > 100);
	TURN_UNTIL(w->loop, atomic_load(&w->live) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(works_on_another_thread_and_tells_in_order),
		T(the_thread_has_a_lower_priority_and_no_signals),
		T(refuses_what_is_too_much),
		T(a_cancelled_job_is_never_told),
		T(a_job_may_be_cancelled_between_its_end_and_its_done),
		T(a_done_may_cancel_another_start_a_third_and_free_itself),
		T(gives_up_at_the_deadline_waiting_or_running),
		T(freeing_the_worker_waits_for_what_was_let_go),
		T(leaves_no_descriptor),
		T(many_come_and_go),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
