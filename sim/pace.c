/* The tick for byte by byte answers. It only runs while there are any. */
#include "sim/pace.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "sim/play.h"

/* Long enough for a reader to have taken the byte before, mostly; a kilobyte takes a fifth of a second. */
enum { TICK_US = 200 };

static void set_tick(struct pace *pace, long tick_us)
{
	struct itimerspec spec = {
	    .it_interval = {0, tick_us * 1000},
	    .it_value = {0, tick_us * 1000},
	};

	timerfd_settime(pace->fd, 0, &spec, NULL);
}

static void on_tick(uv_poll_t *poll, int status, int events)
{
	struct pace *pace = poll->data;
	struct play *play = pace->first;
	uint64_t n_ticks;

	(void)status;
	(void)events;
	if (read(pace->fd, &n_ticks, sizeof(n_ticks)) < 0)
		return;
	while (play) {
		/* A play may remove itself here, but nobody else. */
		struct play *next = play->next;

		play_on_pace(play);
		play = next;
	}
}

int pace_open(struct pace *pace, uv_loop_t *loop)
{
	int err;

	pace->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (pace->fd < 0)
		return -errno;
	err = uv_poll_init(loop, &pace->poll, pace->fd);
	if (err < 0) {
		close(pace->fd);
		return err;
	}
	pace->poll.data = pace;
	return uv_poll_start(&pace->poll, UV_READABLE, on_tick);
}

static void on_closed(uv_handle_t *handle)
{
	close(((struct pace *)handle->data)->fd);
}

void pace_close(struct pace *pace)
{
	uv_close((uv_handle_t *)&pace->poll, on_closed);
}

void pace_add(struct pace *pace, struct play *play)
{
	if (play->paced)
		return;
	if (!pace->first)
		set_tick(pace, TICK_US);
	play->paced = true;
	play->prev = NULL;
	play->next = pace->first;
	if (play->next)
		play->next->prev = play;
	pace->first = play;
}

void pace_remove(struct pace *pace, struct play *play)
{
	if (!play->paced)
		return;
	play->paced = false;
	if (play->prev)
		play->prev->next = play->next;
	else
		pace->first = play->next;
	if (play->next)
		play->next->prev = play->prev;
	if (!pace->first)
		set_tick(pace, 0);
}
