/* The event loop (libuv behind it): timers, descriptors, signals, work put off to the end of the turn, and the lag watchdog. */
#pragma once
#include <signal.h>

#include "base/list.h"
#include "base/str.h"

struct loop;
struct uv_loop_s;

struct loop *loop_new(void);
/* Everything started on it must have been finished. False if something still runs, such as a name look-up on its thread: then
 * the loop stays, and the process should end without waiting. */
bool loop_free(struct loop *loop);
/* Returns after loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
/* One turn; waits for events if wait. For tests and for running out at shutdown. */
void loop_turn(struct loop *loop, bool wait);
struct uv_loop_s *loop_uv(struct loop *loop); /* for net/resolver.c alone */

/* Work put off until every callback of this turn has returned; what it defers itself runs one turn later, after new events. */
struct defer {
	struct list node;
	void (*fn)(struct defer *d);
};
/* Does nothing if d is already waiting. */
void loop_defer(struct loop *loop, struct defer *d, void (*fn)(struct defer *d));
void defer_cancel(struct defer *d);
static inline bool defer_waiting(const struct defer *d)
{
	return !list_empty(&d->node);
}

struct timer {
	void (*fn)(void *arg);
	void *arg;            /* borrowed */
	struct loop *loop;    /* borrowed */
	struct uv_timer_s *h; /* owned; NULL: it has never been started, as most never are */
};
void timer_init(struct timer *t, struct loop *loop, void (*fn)(void *arg), void *arg);
/* Fires once after delay_ms; a running timer starts anew. */
void timer_start(struct timer *t, uint64_t delay_ms);
void timer_stop(struct timer *t);
/* Also right for an all-zero timer. */
void timer_fini(struct timer *t);

enum { WATCH_READ = 1, WATCH_WRITE = 2 };
struct watch {
	void (*fn)(void *arg, int events);
	void *arg;           /* borrowed */
	struct uv_poll_s *h; /* owned */
	int events;
};
/* fd must be a socket, pipe or eventfd, non-blocking, and stay open until watch_fini. */
void watch_init(struct watch *w, struct loop *loop, int fd, void (*fn)(void *arg, int events), void *arg);
void watch_set(struct watch *w, int events);
/* Also right for an all-zero watch. */
void watch_fini(struct watch *w);

void loop_on_signal(struct loop *loop, int signum, void (*fn)(void *arg, int signum), void *arg);

/* The watchdog: a turn longer than LOOP_SLOW_US is logged with the activity that took longest in it. */
enum { LOOP_SLOW_US = 50000 };
/* Says that `activity` (a fixed word) ran for took_us in this turn. */
void loop_note(struct loop *loop, const char *activity, uint64_t took_us);
struct loop_lag {
	uint64_t n_turns, n_slow, p50_us, p99_us, max_us, total_busy_us; /* percentiles to a quarter */
};
struct loop_lag loop_lag(const struct loop *loop);
