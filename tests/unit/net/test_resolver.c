/* Names to addresses: one look-up for many waiters, deadlines while the worker threads are busy, cancelling. The only worker
 * thread is held up by the test, so that a slow name server needs no luck. */
#include "net/resolver.h"

#include <pthread.h>
#include <sys/resource.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"
#include "tests/unit/support.h"

enum { SECOND_US = 1000000 };

struct world {
	struct loop *loop;
	struct resolver *resolver;
	/* the work that occupies the thread */
	uv_work_t work;
	pthread_mutex_t held;
	bool holding, work_done;
	uv_work_t last;
	bool last_done;
};

struct waiter {
	struct resolve r;
	unsigned n_done;
	int err;
	char addresses[RESOLVE_SIZE];
};

static int make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	clock_set_for_test(0, 0);
	w->loop = loop_new();
	w->resolver = resolver_new(w->loop);
	pthread_mutex_init(&w->held, NULL);
	*state = w;
	return 0;
}

static void let_go(struct world *w)
{
	if (w->holding)
		pthread_mutex_unlock(&w->held);
	w->holding = false;
}

static void do_nothing(uv_work_t *work)
{
	(void)work;
}

static void on_last_done(uv_work_t *work, int status)
{
	struct world *w = work->data;

	(void)status;
	w->last_done = true;
}

static int end_world(void **state)
{
	struct world *w = *state;

	let_go(w);
	if (w->resolver)
		resolver_free(w->resolver);
	/* the thread takes one after another: when this is done, all are */
	w->last.data = w;
	assert_int_equal(uv_queue_work(loop_uv(w->loop), &w->last, do_nothing, on_last_done), 0);
	TURN_UNTIL(w->loop, w->last_done);
	turn_few(w->loop);
	assert_true(loop_free(w->loop));
	pthread_mutex_destroy(&w->held);
	free(w);
	return 0;
}

static void wait_for_release(uv_work_t *work)
{
	struct world *w = work->data;

	pthread_mutex_lock(&w->held);
	pthread_mutex_unlock(&w->held);
}

static void on_work_done(uv_work_t *work, int status)
{
	struct world *w = work->data;

	(void)status;
	w->work_done = true;
}

/* From now on no look-up gets anywhere. */
static void hold_up(struct world *w)
{
	pthread_mutex_lock(&w->held);
	w->holding = true;
	w->work_done = false;
	w->work.data = w;
	assert_int_equal(uv_queue_work(loop_uv(w->loop), &w->work, wait_for_release, on_work_done), 0);
}

static void on_done(struct op *op)
{
	struct waiter *waiter = CONTAINER_OF(op, struct waiter, r.op);

	waiter->n_done++;
	waiter->err = op->err;
	snprintf(waiter->addresses, sizeof(waiter->addresses), "%s", waiter->r.addresses);
}

static void ask(struct world *w, struct waiter *waiter, const char *host, uint64_t deadline_ms)
{
	*waiter = (struct waiter){.err = 1};
	waiter->r.op.done = on_done;
	waiter->r.op.deadline_us = deadline_ms ? clock_mono_us() + deadline_ms * 1000 : 0;
	resolve_start(w->resolver, &waiter->r, str_from(host));
	assert_int_equal(waiter->n_done, 0); /* nothing calls back from inside */
	assert_true(op_waiting(&waiter->r.op));
}

static void answers_an_address_with_itself(void **state)
{
	static const char *const addresses[] = {"127.0.0.1", "10.1.2.3", "::1", "2001:db8::7"};
	struct world *w = *state;

	hold_up(w);
	for (size_t i = 0; i < N_ELEMENTS(addresses); i++) {
		struct waiter waiter;

		ask(w, &waiter, addresses[i], 0);
		loop_turn(w->loop, false);
		assert_int_equal(waiter.n_done, 1);
		assert_int_equal(waiter.err, 0);
		assert_string_equal(waiter.addresses, addresses[i]);
		assert_false(op_waiting(&waiter.r.op));
	}
}

static void finds_localhost(void **state)
{
	struct world *w = *state;
	struct waiter waiter;

	ask(w, &waiter, "localhost", 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	assert_int_equal(waiter.err, 0);
	assert_non_null(strstr(waiter.addresses, "127.0.0.1"));
}

static void says_that_the_lack_of_descriptors_is_its_own(void **state)
{
	struct world *w = *state;
	struct waiter waiter;
	struct rlimit before, none;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	ask(w, &waiter, "localhost", 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(waiter.err, -ERR_OVERLOADED);
	/* and does not remember it */
	ask(w, &waiter, "localhost", 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	assert_int_equal(waiter.err, 0);
}

static void refuses_names_that_cannot_be(void **state)
{
	struct world *w = *state;
	struct waiter waiter;
	char name[400];

	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ask(w, &waiter, name, 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	assert_int_equal(waiter.err, -ERR_UPSTREAM);
	ask(w, &waiter, "", 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	assert_int_equal(waiter.err, -ERR_UPSTREAM);
	name[RESOLVE_HOST_SIZE - 1] = '\0'; /* the longest that is looked up: its one label is too long */
	ask(w, &waiter, name, 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	assert_int_equal(waiter.err, -ERR_UPSTREAM);
}

static void asks_once_for_many_waiters_and_remembers(void **state)
{
	enum { N = 50 };
	struct world *w = *state;
	struct waiter waiters[N], later;

	hold_up(w);
	for (int i = 0; i < N; i++)
		ask(w, &waiters[i], "localhost", 0);
	turn_few(w->loop);
	for (int i = 0; i < N; i++)
		assert_int_equal(waiters[i].n_done, 0);
	let_go(w);
	for (int i = 0; i < N; i++) {
		TURN_UNTIL(w->loop, waiters[i].n_done);
		assert_int_equal(waiters[i].n_done, 1);
		assert_int_equal(waiters[i].err, 0);
		assert_string_equal(waiters[i].addresses, waiters[0].addresses);
	}
	/* known now, whatever the threads do */
	TURN_UNTIL(w->loop, w->work_done);
	hold_up(w);
	ask(w, &later, "localhost", 0);
	loop_turn(w->loop, false);
	assert_int_equal(later.n_done, 1);
	assert_string_equal(later.addresses, waiters[0].addresses);
}

/* A slow name server holds up the first request to a name, and none in the minutes after. */
static void gives_an_old_answer_while_it_asks_again(void **state)
{
	struct world *w = *state;
	struct waiter waiter;

	clock_set_for_test(1000 * (uint64_t)SECOND_US, 0);
	ask(w, &waiter, "localhost", 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	clock_set_for_test(1031 * (uint64_t)SECOND_US, 0);
	hold_up(w);
	for (int i = 0; i < 3; i++) {
		ask(w, &waiter, "localhost", 0);
		loop_turn(w->loop, false);
		assert_int_equal(waiter.n_done, 1);
		assert_int_equal(waiter.err, 0);
	}
	let_go(w);
	TURN_UNTIL(w->loop, w->work_done);
	turn_for_ms(w->loop, 500); /* the look-up's own thread takes its time, and nobody hears of it */
	/* one more as long as before would be too old by now, had nobody asked again */
	clock_set_for_test(1305 * (uint64_t)SECOND_US, 0);
	hold_up(w);
	ask(w, &waiter, "localhost", 0);
	loop_turn(w->loop, false);
	assert_int_equal(waiter.n_done, 1);
}

static void asks_again_when_the_answer_is_too_old(void **state)
{
	struct world *w = *state;
	struct waiter waiter;

	clock_set_for_test(1000 * (uint64_t)SECOND_US, 0);
	ask(w, &waiter, "localhost", 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	clock_set_for_test(1301 * (uint64_t)SECOND_US, 0);
	hold_up(w);
	ask(w, &waiter, "localhost", 0);
	turn_few(w->loop);
	assert_int_equal(waiter.n_done, 0);
	let_go(w);
	TURN_UNTIL(w->loop, waiter.n_done);
	assert_int_equal(waiter.err, 0);
}

static void gives_up_at_the_deadline_of_each_waiter(void **state)
{
	struct world *w = *state;
	struct waiter quick, slow;
	uint64_t began_ms = real_ms();

	hold_up(w);
	ask(w, &quick, "localhost", 150);
	ask(w, &slow, "localhost", 1500);
	TURN_UNTIL(w->loop, quick.n_done);
	assert_int_equal(quick.err, -ERR_UPSTREAM_TIMEOUT);
	assert_in_range(real_ms() - began_ms, 140, 1490);
	assert_int_equal(slow.n_done, 0);
	TURN_UNTIL(w->loop, slow.n_done);
	assert_int_equal(slow.err, -ERR_UPSTREAM_TIMEOUT);
	/* who asks meanwhile joins the look-up that is still under way */
	ask(w, &quick, "localhost", 2000);
	let_go(w);
	TURN_UNTIL(w->loop, quick.n_done);
	assert_int_equal(quick.err, 0);
	assert_int_equal(quick.n_done, 1);
	assert_int_equal(slow.n_done, 1);
}

/* Others who ask for the same name again and again must not put a deadline off. */
static void keeps_a_deadline_while_others_keep_asking(void **state)
{
	enum { N = 40 };
	struct world *w = *state;
	struct waiter first, others[N];
	uint64_t began_ms = real_ms();

	hold_up(w);
	ask(w, &first, "localhost", 200);
	for (int i = 0; i < N; i++) {
		ask(w, &others[i], "localhost", 5000);
		turn_for_ms(w->loop, 15);
	}
	assert_true(real_ms() - began_ms >= N * 15);
	assert_int_equal(first.n_done, 1);
	assert_int_equal(first.err, -ERR_UPSTREAM_TIMEOUT);
	let_go(w);
	for (int i = 0; i < N; i++) {
		TURN_UNTIL(w->loop, others[i].n_done == 1);
		assert_int_equal(others[i].err, 0);
	}
}

static void waits_five_seconds_unless_told_otherwise(void **state)
{
	struct world *w = *state;
	struct waiter waiter;

	clock_set_for_test(50 * (uint64_t)SECOND_US, 0);
	hold_up(w);
	ask(w, &waiter, "localhost", 0);
	clock_set_for_test(50 * (uint64_t)SECOND_US + 4900000, 0);
	turn_for_ms(w->loop, 150);
	assert_int_equal(waiter.n_done, 0);
	clock_set_for_test(50 * (uint64_t)SECOND_US + 5100000, 0);
	TURN_UNTIL(w->loop, waiter.n_done);
	assert_int_equal(waiter.err, -ERR_UPSTREAM_TIMEOUT);
}

static void tells_nothing_to_who_cancelled(void **state)
{
	struct world *w = *state;
	struct waiter a, b, c;

	hold_up(w);
	ask(w, &a, "localhost", 0);
	ask(w, &b, "localhost", 0);
	ask(w, &c, "127.0.0.1", 0);
	op_cancel(&a.r.op);
	op_cancel(&c.r.op); /* its answer is known, but not told yet */
	memset(&a.r, 0xA5, sizeof(a.r));
	memset(&c.r, 0xA5, sizeof(c.r));
	let_go(w);
	TURN_UNTIL(w->loop, b.n_done);
	assert_int_equal(b.err, 0);
	assert_int_equal(a.n_done + c.n_done, 0);
}

static struct waiter *victim;

static void cancel_the_other(struct op *op)
{
	on_done(op);
	op_cancel(&victim->r.op);
	memset(&victim->r, 0xA5, sizeof(victim->r));
}

static void one_waiter_may_cancel_the_next(void **state)
{
	struct world *w = *state;
	struct waiter a, b, c;

	ask(w, &a, "127.0.0.1", 0);
	ask(w, &b, "127.0.0.2", 0);
	ask(w, &c, "127.0.0.3", 0);
	a.r.op.done = cancel_the_other;
	victim = &b;
	turn_few(w->loop);
	assert_int_equal(a.n_done, 1);
	assert_int_equal(b.n_done, 0);
	assert_int_equal(c.n_done, 1);
}

static void may_be_freed_while_a_look_up_is_under_way(void **state)
{
	struct world *w = *state;
	struct waiter a;

	hold_up(w);
	ask(w, &a, "localhost", 0);
	turn_few(w->loop);
	op_cancel(&a.r.op);
	resolver_free(w->resolver);
	w->resolver = NULL;
	let_go(w);
	TURN_UNTIL(w->loop, w->work_done);
	turn_few(w->loop);
	assert_int_equal(a.n_done, 0);
}

/* Hundreds of names while nothing is answered: the table is bounded, who finds no room is told, nobody waits for ever. */
static void is_bounded_in_names(void **state)
{
	enum { N = 400 };
	struct world *w = *state;
	struct waiter *waiters = calloc(N, sizeof(*waiters));
	unsigned n_refused = 0;
	char host[80];

	hold_up(w);
	for (int i = 0; i < N; i++) {
		/* labels of 64 letters need no name server to be found wanting */
		snprintf(host, sizeof(host), "x%063d", i);
		ask(w, &waiters[i], host, 5000);
	}
	turn_few(w->loop);
	for (int i = 0; i < N; i++)
		n_refused += waiters[i].n_done;
	assert_in_range(n_refused, 1, N - 1);
	let_go(w);
	for (int i = 0; i < N; i++) {
		TURN_UNTIL(w->loop, waiters[i].n_done == 1);
		assert_int_equal(waiters[i].err, -ERR_UPSTREAM);
	}
	/* and there is room again */
	ask(w, &waiters[0], "localhost", 0);
	TURN_UNTIL(w->loop, waiters[0].n_done);
	assert_int_equal(waiters[0].err, 0);
	free(waiters);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(answers_an_address_with_itself),
		T(finds_localhost),
		T(says_that_the_lack_of_descriptors_is_its_own),
		T(refuses_names_that_cannot_be),
		T(asks_once_for_many_waiters_and_remembers),
		T(gives_an_old_answer_while_it_asks_again),
		T(asks_again_when_the_answer_is_too_old),
		T(gives_up_at_the_deadline_of_each_waiter),
		T(keeps_a_deadline_while_others_keep_asking),
		T(waits_five_seconds_unless_told_otherwise),
		T(tells_nothing_to_who_cancelled),
		T(one_waiter_may_cancel_the_next),
		T(may_be_freed_while_a_look_up_is_under_way),
		T(is_bounded_in_names),
#undef T
	};

	setenv("UV_THREADPOOL_SIZE", "1", 1);
	return cmocka_run_group_tests(tests, quiet, NULL);
}
