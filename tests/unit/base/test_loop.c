/* The loop: the order of things put off, timers, descriptors, freeing inside of a thing's own callback, and the watchdog. */
#include "base/loop.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/unit/support.h"

struct world {
	struct loop *loop;
	char marks[64];
	size_t n;
	int fds[2]; /* a pair of sockets */
};

static int make_world(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	clock_set_for_test(0, 0);
	w->loop = loop_new();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w->fds), 0);
	*state = w;
	return 0;
}

static int end_world(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 2; i++)
		if (w->fds[i] >= 0)
			close(w->fds[i]);
	assert_true(loop_free(w->loop));
	free(w);
	return 0;
}

static void mark(struct world *w, char c)
{
	assert_true(w->n < sizeof(w->marks) - 1);
	w->marks[w->n++] = c;
	w->marks[w->n] = '\0';
}

struct put_off {
	struct defer defer;
	struct world *w;
	char name;
	struct put_off *next; /* deferred in turn */
	struct put_off *victim;
};

static void run_put_off(struct defer *d)
{
	struct put_off *p = CONTAINER_OF(d, struct put_off, defer);

	assert_false(defer_waiting(d));
	mark(p->w, p->name);
	if (p->victim)
		defer_cancel(&p->victim->defer);
	if (p->next)
		loop_defer(p->w->loop, &p->next->defer, run_put_off);
}

static void put_off_init(struct put_off *p, struct world *w, char name)
{
	*p = (struct put_off){.w = w, .name = name};
	list_init(&p->defer.node);
}

static void runs_what_is_put_off_in_order(void **state)
{
	struct world *w = *state;
	struct put_off a, b, c;

	put_off_init(&a, w, 'a');
	put_off_init(&b, w, 'b');
	put_off_init(&c, w, 'c');
	loop_defer(w->loop, &b.defer, run_put_off);
	loop_defer(w->loop, &a.defer, run_put_off);
	loop_defer(w->loop, &b.defer, run_put_off); /* waits already */
	loop_defer(w->loop, &c.defer, run_put_off);
	defer_cancel(&c.defer);
	assert_true(defer_waiting(&a.defer));
	assert_false(defer_waiting(&c.defer));
	assert_int_equal(w->n, 0);
	loop_turn(w->loop, false);
	assert_string_equal(w->marks, "ba");
	turn_few(w->loop);
	assert_string_equal(w->marks, "ba");
	loop_defer(w->loop, &a.defer, run_put_off);
	loop_turn(w->loop, false);
	assert_string_equal(w->marks, "baa");
}

static void one_that_is_put_off_may_cancel_the_next(void **state)
{
	struct world *w = *state;
	struct put_off a, b, c;

	put_off_init(&a, w, 'a');
	put_off_init(&b, w, 'b');
	put_off_init(&c, w, 'c');
	a.victim = &b;
	loop_defer(w->loop, &a.defer, run_put_off);
	loop_defer(w->loop, &b.defer, run_put_off);
	loop_defer(w->loop, &c.defer, run_put_off);
	turn_few(w->loop);
	assert_string_equal(w->marks, "ac");
}

static void on_readable(void *arg, int events)
{
	struct world *w = arg;
	char c;

	assert_int_equal(events, WATCH_READ);
	assert_int_equal(read(w->fds[0], &c, 1), 1);
	mark(w, c);
}

/* What is put off from something put off comes after new events, so that a chain of them starves nobody. */
static void what_is_put_off_again_waits_for_new_events(void **state)
{
	struct world *w = *state;
	struct put_off a, b;
	struct watch watch;

	watch_init(&watch, w->loop, w->fds[0], on_readable, w);
	watch_set(&watch, WATCH_READ);
	put_off_init(&a, w, 'a');
	put_off_init(&b, w, 'b');
	a.next = &b;
	loop_defer(w->loop, &a.defer, run_put_off);
	assert_int_equal(write(w->fds[1], "x", 1), 1);
	turn_few(w->loop);
	assert_string_equal(w->marks, "axb");
	watch_fini(&watch);
}

static void a_chain_for_ever_does_not_stop_the_loop(void **state)
{
	struct world *w = *state;
	struct put_off a;

	put_off_init(&a, w, 'a');
	a.next = &a;
	loop_defer(w->loop, &a.defer, run_put_off);
	for (int i = 0; i < 5; i++)
		loop_turn(w->loop, true); /* comes back each time, without waiting */
	assert_in_range(w->n, 5, 10);
	defer_cancel(&a.defer);
}

struct alarm {
	struct timer timer;
	struct world *w;
	char name;
	enum { NOTHING, RESTART, FREE } then;
	struct alarm *stops;
};

static void free_alarm(struct alarm *a)
{
	timer_fini(&a->timer);
	free(a);
}

static void on_alarm(void *arg)
{
	struct alarm *a = arg;

	mark(a->w, a->name);
	if (a->stops)
		timer_stop(&a->stops->timer);
	if (a->then == RESTART)
		timer_start(&a->timer, 1);
	else if (a->then == FREE)
		free_alarm(a);
}

static struct alarm *new_alarm(struct world *w, char name)
{
	struct alarm *a = mem_alloc(sizeof(*a));

	a->w = w;
	a->name = name;
	timer_init(&a->timer, w->loop, on_alarm, a);
	return a;
}

static void timers_fire_once_in_order_of_time(void **state)
{
	struct world *w = *state;
	struct alarm *a = new_alarm(w, 'a'), *b = new_alarm(w, 'b'), *c = new_alarm(w, 'c');
	uint64_t began_ms = real_ms();

	timer_start(&a->timer, 60);
	timer_start(&b->timer, 20);
	timer_start(&c->timer, 0);
	TURN_UNTIL(w->loop, w->n == 3);
	assert_string_equal(w->marks, "cba");
	assert_true(real_ms() - began_ms >= 59);
	turn_for_ms(w->loop, 30);
	assert_int_equal(w->n, 3);
	free_alarm(a);
	free_alarm(b);
	free_alarm(c);
}

static void a_running_timer_starts_anew(void **state)
{
	struct world *w = *state;
	struct alarm *a = new_alarm(w, 'a');
	uint64_t began_ms = real_ms();

	for (int i = 0; i < 5; i++) {
		timer_start(&a->timer, 5000);
		turn_for_ms(w->loop, 15);
	}
	assert_int_equal(w->n, 0);
	timer_start(&a->timer, 40);
	TURN_UNTIL(w->loop, w->n);
	assert_in_range(real_ms() - began_ms, 5 * 15 + 38, 4900);
	assert_int_equal(w->n, 1);
	/* also to an earlier time, and from its own callback */
	timer_start(&a->timer, 60000);
	a->then = RESTART;
	timer_start(&a->timer, 1);
	TURN_UNTIL(w->loop, w->n == 5);
	free_alarm(a);
}

static void a_stopped_timer_stays_silent(void **state)
{
	struct world *w = *state;
	struct alarm *a = new_alarm(w, 'a'), *b = new_alarm(w, 'b');
	struct timer none = {.fn = NULL};

	timer_start(&a->timer, 1);
	timer_stop(&a->timer);
	timer_stop(&a->timer);
	turn_for_ms(w->loop, 20);
	assert_int_equal(w->n, 0);
	/* both due in the same turn: the first stops the second */
	a->stops = b;
	timer_start(&a->timer, 5);
	timer_start(&b->timer, 6);
	poll(NULL, 0, 20);
	turn_for_ms(w->loop, 20);
	assert_string_equal(w->marks, "a");
	free_alarm(a);
	free_alarm(b);
	timer_stop(&none);
	timer_fini(&none);
}

static void a_timer_may_be_freed_in_its_own_callback(void **state)
{
	struct world *w = *state;
	struct alarm *a = new_alarm(w, 'a');

	a->then = FREE;
	timer_start(&a->timer, 1);
	TURN_UNTIL(w->loop, w->n);
	turn_few(w->loop);
	a = new_alarm(w, 'b');
	timer_start(&a->timer, 1);
	free_alarm(a); /* running */
	turn_for_ms(w->loop, 20);
	assert_string_equal(w->marks, "a");
}

static void a_long_turn_does_not_shorten_a_wait(void **state)
{
	struct world *w = *state;
	struct alarm *a = new_alarm(w, 'a');
	uint64_t began_ms;

	loop_turn(w->loop, false);
	poll(NULL, 0, 60); /* the loop does not know of these 60 ms */
	began_ms = real_ms();
	timer_start(&a->timer, 50);
	TURN_UNTIL(w->loop, w->n);
	assert_true(real_ms() - began_ms >= 48);
	free_alarm(a);
}

struct eye {
	struct watch watch;
	struct world *w;
	int seen;
	bool free_it;
};

static void on_seen(void *arg, int events)
{
	struct eye *e = arg;

	e->seen |= events;
	mark(e->w, 'e');
	if (e->free_it) {
		watch_fini(&e->watch);
		free(e);
	} else {
		watch_set(&e->watch, 0);
	}
}

static struct eye *new_eye(struct world *w)
{
	struct eye *e = mem_alloc(sizeof(*e));

	e->w = w;
	watch_init(&e->watch, w->loop, w->fds[0], on_seen, e);
	return e;
}

static void sees_what_it_is_asked_to_see(void **state)
{
	struct world *w = *state;
	struct eye *e = new_eye(w);

	assert_int_equal(write(w->fds[1], "x", 1), 1);
	turn_few(w->loop);
	assert_int_equal(w->n, 0); /* not asked yet */
	watch_set(&e->watch, WATCH_READ);
	turn_few(w->loop);
	assert_int_equal(w->n, 1); /* and not again after watch_set(0) */
	assert_int_equal(e->seen, WATCH_READ);
	e->seen = 0;
	watch_set(&e->watch, WATCH_WRITE);
	turn_few(w->loop);
	assert_int_equal(e->seen, WATCH_WRITE);
	e->seen = 0;
	watch_set(&e->watch, WATCH_READ | WATCH_WRITE);
	turn_few(w->loop);
	assert_int_equal(e->seen, WATCH_READ | WATCH_WRITE);
	watch_fini(&e->watch);
	watch_fini(&e->watch);
	turn_few(w->loop);
	assert_int_equal(w->n, 3);
	free(e);
}

static void sees_the_other_end_close(void **state)
{
	struct world *w = *state;
	struct eye *e = new_eye(w);

	watch_set(&e->watch, WATCH_READ);
	turn_few(w->loop);
	assert_int_equal(w->n, 0);
	close(w->fds[1]);
	w->fds[1] = -1;
	TURN_UNTIL(w->loop, w->n == 1);
	assert_true(e->seen & WATCH_READ);
	/* also one that only wants to write */
	e->seen = 0;
	watch_set(&e->watch, WATCH_WRITE);
	TURN_UNTIL(w->loop, w->n == 2);
	watch_fini(&e->watch);
	free(e);
}

static void a_watch_may_be_freed_in_its_own_callback(void **state)
{
	struct world *w = *state;
	struct eye *e = new_eye(w);
	struct watch none = {.fn = NULL};

	e->free_it = true;
	watch_set(&e->watch, WATCH_READ | WATCH_WRITE);
	assert_int_equal(write(w->fds[1], "x", 1), 1);
	turn_few(w->loop);
	assert_int_equal(w->n, 1);
	watch_fini(&none);
	/* the descriptor can be watched again at once */
	e = new_eye(w);
	watch_set(&e->watch, WATCH_READ);
	turn_few(w->loop);
	assert_int_equal(w->n, 2);
	watch_fini(&e->watch);
	free(e);
}

static void on_signal(void *arg, int signum)
{
	assert_int_equal(signum, SIGUSR2);
	mark(arg, 's');
}

static void hears_signals(void **state)
{
	struct world *w = *state;

	loop_on_signal(w->loop, SIGUSR2, on_signal, w);
	raise(SIGUSR2);
	TURN_UNTIL(w->loop, w->n == 1);
	raise(SIGUSR2);
	TURN_UNTIL(w->loop, w->n == 2);
}

static void stop_loop(void *arg)
{
	struct world *w = arg;

	mark(w, 't');
	loop_stop(w->loop);
}

static void runs_until_it_is_stopped(void **state)
{
	struct world *w = *state;
	struct timer timer;

	timer_init(&timer, w->loop, stop_loop, w);
	timer_start(&timer, 10);
	loop_run(w->loop);
	assert_int_equal(w->n, 1);
	timer_start(&timer, 1);
	loop_run(w->loop);
	assert_int_equal(w->n, 2);
	timer_fini(&timer);
}

static unsigned busy_ms;

static void be_busy(void *arg)
{
	struct world *w = arg;
	uint64_t began_us = clock_mono_us();

	while (clock_mono_us() - began_us < busy_ms * 1000)
		;
	loop_note(w->loop, "short_one", 10);
	loop_note(w->loop, "busy_test", busy_ms * 1000);
	loop_note(w->loop, "short_two", 20);
	mark(w, 'b');
}

static void counts_a_slow_turn_and_names_its_cause(void **state)
{
	struct world *w = *state;
	int pipe_fds[2], stderr_copy = dup(STDERR_FILENO);
	struct timer timer;
	char line[4096];
	ssize_t len;

	timer_init(&timer, w->loop, be_busy, w);
	busy_ms = 5;
	timer_start(&timer, 100); /* waiting is not being slow */
	TURN_UNTIL(w->loop, w->n == 1);
	loop_turn(w->loop, false);
	assert_int_equal(loop_lag(w->loop).n_slow, 0);
	assert_in_range(loop_lag(w->loop).max_us, 4900, LOOP_SLOW_US);

	assert_int_equal(pipe2(pipe_fds, O_NONBLOCK), 0);
	fflush(stderr);
	dup2(pipe_fds[1], STDERR_FILENO);
	log_set_level(LOG_WARN);
	busy_ms = 70;
	timer_start(&timer, 1);
	TURN_UNTIL(w->loop, w->n == 2);
	loop_turn(w->loop, false);
	quiet(NULL);
	dup2(stderr_copy, STDERR_FILENO);
	close(stderr_copy);
	len = read(pipe_fds[0], line, sizeof(line) - 1);
	assert_true(len > 0);
	line[len] = '\0';
	assert_non_null(strstr(line, "\"loop_slow\""));
	assert_non_null(strstr(line, "\"busy_test\""));
	close(pipe_fds[0]);
	close(pipe_fds[1]);

	assert_int_equal(loop_lag(w->loop).n_slow, 1);
	assert_in_range(loop_lag(w->loop).max_us, 69000, 700000);
	assert_true(loop_lag(w->loop).total_busy_us >= 74000);
	assert_true(loop_lag(w->loop).n_turns >= 2);
	timer_fini(&timer);
}

static void knows_percentiles_to_a_quarter(void **state)
{
	struct world *w = *state;
	struct timer timer;
	struct loop_lag lag;

	timer_init(&timer, w->loop, be_busy, w);
	busy_ms = 4;
	for (unsigned i = 1; i <= 20; i++) {
		timer_start(&timer, 0);
		TURN_UNTIL(w->loop, w->n == i);
		loop_turn(w->loop, false);
	}
	lag = loop_lag(w->loop);
	assert_int_equal(lag.n_turns, 20);
	assert_in_range(lag.p50_us, 3000, 20000);
	assert_true(lag.p50_us <= lag.p99_us);
	assert_true(lag.p99_us <= lag.max_us);
	timer_fini(&timer);
}

static void may_be_freed_right_after_everything_on_it(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		struct loop *loop = loop_new();
		struct timer timer;

		timer_init(&timer, loop, stop_loop, NULL);
		timer_start(&timer, 100000);
		if (i % 2)
			loop_turn(loop, false);
		timer_fini(&timer);
		assert_true(loop_free(loop));
	}
}

static struct loop *in_use; /* reachable, so that it does not count as a leak */
static struct timer left_over;

static void says_so_if_something_still_runs(void **state)
{
	(void)state;
	in_use = loop_new();
	timer_init(&left_over, in_use, stop_loop, NULL);
	timer_start(&left_over, 100000);
	assert_false(loop_free(in_use)); /* and comes back at once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(runs_what_is_put_off_in_order),
		T(one_that_is_put_off_may_cancel_the_next),
		T(what_is_put_off_again_waits_for_new_events),
		T(a_chain_for_ever_does_not_stop_the_loop),
		T(timers_fire_once_in_order_of_time),
		T(a_running_timer_starts_anew),
		T(a_stopped_timer_stays_silent),
		T(a_timer_may_be_freed_in_its_own_callback),
		T(a_long_turn_does_not_shorten_a_wait),
		T(sees_what_it_is_asked_to_see),
		T(sees_the_other_end_close),
		T(a_watch_may_be_freed_in_its_own_callback),
		T(hears_signals),
		T(runs_until_it_is_stopped),
		T(counts_a_slow_turn_and_names_its_cause),
		T(knows_percentiles_to_a_quarter),
		cmocka_unit_test(says_so_if_something_still_runs),
		cmocka_unit_test(may_be_freed_right_after_everything_on_it),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
