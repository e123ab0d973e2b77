/* A tick for the answers that go out byte by byte, so that each byte travels alone: milliseconds would be too slow. */
#ifndef SIM_PACE_H
#define SIM_PACE_H

#include <uv.h>

struct play;

struct pace {
	uv_poll_t poll;
	int fd; /* a timerfd; owned */
	struct play *first;
};

/* Returns 0 or a negative errno. pace_close() may only be called after success. */
int pace_open(struct pace *pace, uv_loop_t *loop);
void pace_close(struct pace *pace);

/* Has play_on_pace() called at each tick; adding twice or removing what was not added is fine. */
void pace_add(struct pace *pace, struct play *play);
void pace_remove(struct pace *pace, struct play *play);

#endif
