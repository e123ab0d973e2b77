/* The event loop over libuv. Handles live on the heap and are freed by libuv's close callback, so that the structs that hold
 * them may go away at once. */
#include "base/loop.h"

#include <assert.h>
#include <stdlib.h>
#include <uv.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum { MAX_SIGNALS = 8, QUARTERS = 4, N_BUCKETS = 64 * QUARTERS };

struct on_signal {
	uv_signal_t handle;
	void (*fn)(void *arg, int signum);
	void *arg;
};

struct loop {
	uv_loop_t uv;
	uv_prepare_t before_poll;
	uv_check_t after_poll;
	uv_idle_t keep_turning; /* active while something is deferred, so that poll does not wait */
	struct list deferred;
	struct on_signal signals[MAX_SIGNALS];
	size_t n_signals;
	struct loop_lag lag;            /* without the percentiles */
	uint64_t n_turns_of[N_BUCKETS]; /* by length: four buckets for each power of two */
	uint64_t turn_began_us;         /* of the first callback since the last poll; 0: none yet */
	const char *slowest;
	uint64_t slowest_us;
};

static void on_idle(uv_idle_t *h)
{
	(void)h;
}

/* A turn reaches from the first callback after a poll to the next poll. */
static void note_callback(struct loop *loop)
{
	if (loop->turn_began_us == 0)
		loop->turn_began_us = clock_mono_us();
}

static void run_deferred(struct loop *loop)
{
	struct list batch, *node;

	if (list_empty(&loop->deferred)) {
		uv_idle_stop(&loop->keep_turning);
		return;
	}
	note_callback(loop);
	list_init(&batch);
	list_move_all(&batch, &loop->deferred);
	while ((node = list_pop(&batch))) {
		struct defer *d = CONTAINER_OF(node, struct defer, node);

		d->fn(d);
	}
	if (!list_empty(&loop->deferred))
		uv_idle_start(&loop->keep_turning, on_idle);
}

static unsigned bucket_of(uint64_t us)
{
	unsigned power;

	if (us < QUARTERS)
		return (unsigned)us;
	power = 63 - (unsigned)__builtin_clzll(us);
	return power * QUARTERS + (unsigned)(us >> (power - 2) & (QUARTERS - 1));
}

/* The largest length that falls into the bucket. */
static uint64_t bucket_us(unsigned bucket)
{
	if (bucket < 2 * QUARTERS)
		return bucket < QUARTERS ? bucket : QUARTERS - 1;
	return ((uint64_t)(QUARTERS + bucket % QUARTERS + 1) << (bucket / QUARTERS - 2)) - 1;
}

static uint64_t percentile_us(const struct loop *loop, unsigned percent)
{
	uint64_t wanted = loop->lag.n_turns * percent / 100, n = 0;

	for (unsigned i = 0; i < N_BUCKETS; i++) {
		n += loop->n_turns_of[i];
		if (n > wanted)
			return bucket_us(i) < loop->lag.max_us ? bucket_us(i) : loop->lag.max_us;
	}
	return loop->lag.max_us;
}

static void measure_turn(struct loop *loop)
{
	uint64_t busy_us;

	if (loop->turn_began_us == 0)
		return;
	busy_us = clock_mono_us() - loop->turn_began_us;
	loop->lag.n_turns++;
	loop->n_turns_of[bucket_of(busy_us)]++;
	loop->lag.total_busy_us += busy_us;
	if (busy_us > loop->lag.max_us)
		loop->lag.max_us = busy_us;
	if (busy_us > LOOP_SLOW_US) {
		loop->lag.n_slow++;
		log_warn(NULL, "loop_slow", "took_us", busy_us, "activity", loop->slowest ? loop->slowest : "unknown", "activity_us",
			 loop->slowest_us);
	}
	loop->turn_began_us = 0;
	loop->slowest = NULL;
	loop->slowest_us = 0;
}

static void on_before_poll(uv_prepare_t *h)
{
	struct loop *loop = h->data;

	run_deferred(loop);
	measure_turn(loop);
}

static void on_after_poll(uv_check_t *h)
{
	run_deferred(h->data);
}

struct loop *loop_new(void)
{
	struct loop *loop = mem_alloc(sizeof(*loop));

	if (uv_loop_init(&loop->uv) != 0)
		abort();
	list_init(&loop->deferred);
	loop->uv.data = loop;
	uv_prepare_init(&loop->uv, &loop->before_poll);
	uv_check_init(&loop->uv, &loop->after_poll);
	uv_idle_init(&loop->uv, &loop->keep_turning);
	loop->before_poll.data = loop->after_poll.data = loop;
	uv_prepare_start(&loop->before_poll, on_before_poll);
	uv_check_start(&loop->after_poll, on_after_poll);
	return loop;
}

bool loop_free(struct loop *loop)
{
	uv_close((uv_handle_t *)&loop->before_poll, NULL);
	uv_close((uv_handle_t *)&loop->after_poll, NULL);
	uv_close((uv_handle_t *)&loop->keep_turning, NULL);
	for (size_t i = 0; i < loop->n_signals; i++)
		uv_close((uv_handle_t *)&loop->signals[i].handle, NULL);
	uv_run(&loop->uv, UV_RUN_NOWAIT); /* the close callbacks */
	uv_run(&loop->uv, UV_RUN_NOWAIT);
	if (uv_loop_close(&loop->uv) != 0) {
		log_warn(NULL, "loop_still_in_use");
		return false;
	}
	free(loop);
	return true;
}

void loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
	uv_stop(&loop->uv);
}

void loop_turn(struct loop *loop, bool wait)
{
	uv_run(&loop->uv, wait ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

struct uv_loop_s *loop_uv(struct loop *loop)
{
	return &loop->uv;
}

void loop_defer(struct loop *loop, struct defer *d, void (*fn)(struct defer *d))
{
	if (defer_waiting(d))
		return;
	d->fn = fn;
	list_push(&loop->deferred, &d->node);
}

void defer_cancel(struct defer *d)
{
	list_remove(&d->node);
}

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void on_timer(uv_timer_t *h)
{
	struct timer *t = h->data;

	note_callback(h->loop->data);
	t->fn(t->arg);
}

void timer_init(struct timer *t, struct loop *loop, void (*fn)(void *arg), void *arg)
{
	*t = (struct timer){fn, arg, loop, NULL};
}

void timer_start(struct timer *t, uint64_t delay_ms)
{
	if (!t->h) {
		t->h = mem_alloc(sizeof(*t->h));
		uv_timer_init(&t->loop->uv, t->h);
		t->h->data = t;
	}
	uv_update_time(&t->loop->uv); /* a long turn must not shorten the wait */
	uv_timer_start(t->h, on_timer, delay_ms, 0);
}

void timer_stop(struct timer *t)
{
	if (t->h)
		uv_timer_stop(t->h);
}

void timer_fini(struct timer *t)
{
	if (t->h)
		uv_close((uv_handle_t *)t->h, free_handle);
	t->h = NULL;
}

static void on_poll(uv_poll_t *h, int status, int events)
{
	struct watch *w = h->data;

	note_callback(h->loop->data);
	if (status < 0) { /* libuv has stopped watching; the error shows itself to whoever reads or writes now */
		int armed = w->events;

		w->events = 0;
		w->fn(w->arg, armed);
		return;
	}
	w->fn(w->arg, (events & UV_READABLE ? WATCH_READ : 0) | (events & UV_WRITABLE ? WATCH_WRITE : 0));
}

void watch_init(struct watch *w, struct loop *loop, int fd, void (*fn)(void *arg, int events), void *arg)
{
	*w = (struct watch){fn, arg, mem_alloc(sizeof(uv_poll_t)), 0};
	if (uv_poll_init(&loop->uv, w->h, fd) != 0)
		abort(); /* the callers hand over fresh sockets only */
	w->h->data = w;
}

void watch_set(struct watch *w, int events)
{
	if (events == w->events)
		return;
	w->events = events;
	if (events)
		uv_poll_start(w->h, (events & WATCH_READ ? UV_READABLE : 0) | (events & WATCH_WRITE ? UV_WRITABLE : 0), on_poll);
	else
		uv_poll_stop(w->h);
}

void watch_fini(struct watch *w)
{
	if (w->h)
		uv_close((uv_handle_t *)w->h, free_handle);
	w->h = NULL;
	w->events = 0;
}

static void on_uv_signal(uv_signal_t *h, int signum)
{
	struct on_signal *s = h->data;

	note_callback(h->loop->data);
	s->fn(s->arg, signum);
}

void loop_on_signal(struct loop *loop, int signum, void (*fn)(void *arg, int signum), void *arg)
{
	struct on_signal *s = &loop->signals[loop->n_signals++];

	assert(loop->n_signals <= MAX_SIGNALS);
	s->fn = fn;
	s->arg = arg;
	s->handle.data = s;
	uv_signal_init(&loop->uv, &s->handle);
	uv_signal_start(&s->handle, on_uv_signal, signum);
}

void loop_note(struct loop *loop, const char *activity, uint64_t took_us)
{
	if (took_us > loop->slowest_us) {
		loop->slowest = activity;
		loop->slowest_us = took_us;
	}
}

struct loop_lag loop_lag(const struct loop *loop)
{
	struct loop_lag lag = loop->lag;

	lag.p50_us = percentile_us(loop, 50);
	lag.p99_us = percentile_us(loop, 99);
	return lag;
}
