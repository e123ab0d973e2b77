/* Accepting, deadlines and draining. */
#include "fcgi/server.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum { ACCEPTS_A_TURN = 64, TICK_MS = 1000, PAUSE_MS = 1000, DRAIN_IDLE_US = 7000000 };

static void on_acceptable(void *arg, int events)
{
	struct server *s = arg;

	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			conn_open(s, fd);
		} else if (err_is_shortage(errno)) {
			/* The backlog holds them; turning in circles would starve those we serve. */
			log_error(NULL, "accept_paused", "errno", errno, "connections", s->n_conns, "pause_ms", (int)PAUSE_MS);
			watch_set(&s->watch, 0);
			timer_start(&s->pause, PAUSE_MS);
			return;
		} else {
			return;
		}
	}
}

static void on_pause_over(void *arg)
{
	struct server *s = arg;

	watch_set(&s->watch, WATCH_READ);
}

static void on_tick(void *arg)
{
	struct server *s = arg;
	uint64_t now_us = clock_mono_us();

	for (struct list *l = s->conns.next, *next; l != &s->conns; l = next) {
		next = l->next;
		conn_check_deadline(conn_of_node(l), now_us);
	}
	/* Whoever fronts us may keep idle connections for ever; one that nginx has not used for that long is safe to close. */
	for (struct list *l = s->conns.next, *next; s->draining && l != &s->conns; l = next) {
		next = l->next;
		conn_close_if_idle(conn_of_node(l), now_us - DRAIN_IDLE_US);
	}
	timer_start(&s->tick, TICK_MS);
}

int server_open(struct server *s, int listen_fd)
{
	int is_listening = 0, flags = fcntl(listen_fd, F_GETFL);
	socklen_t len = sizeof(is_listening);

	list_init(&s->conns);
	if (getsockopt(listen_fd, SOL_SOCKET, SO_ACCEPTCONN, &is_listening, &len) != 0 || !is_listening || flags < 0)
		return -1;
	fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK);
	s->listen_fd = listen_fd;
	watch_init(&s->watch, s->loop, listen_fd, on_acceptable, s);
	timer_init(&s->tick, s->loop, on_tick, s);
	timer_init(&s->pause, s->loop, on_pause_over, s);
	timer_start(&s->tick, TICK_MS);
	s->listening = true;
	return 0;
}

void server_accept(struct server *s)
{
	watch_set(&s->watch, WATCH_READ);
}

void server_close(struct server *s)
{
	if (!s->listening)
		return;
	s->listening = false;
	for (struct list *l = s->conns.next, *next; l != &s->conns; l = next) {
		next = l->next;
		conn_close(conn_of_node(l), "shutdown");
	}
	watch_fini(&s->watch);
	timer_fini(&s->tick);
	timer_fini(&s->pause);
}

void server_drain(struct server *s)
{
	s->draining = true;
}

size_t server_n_busy(const struct server *s)
{
	size_t n = 0;

	for (struct list *l = s->conns.next; l != &s->conns; l = l->next)
		n += conn_is_busy(conn_of_node(l));
	return n;
}

void server_remember(struct server *s, struct list *conn_node)
{
	list_push(&s->conns, conn_node);
	s->n_conns++;
}

void server_forget(struct server *s, struct list *conn_node)
{
	list_remove(conn_node);
	s->n_conns--;
}

void server_count_buffered(struct server *s, size_t before_bytes, size_t after_bytes)
{
	s->n_buffered_bytes += after_bytes - before_bytes;
}

bool server_over_budget(const struct server *s)
{
	return s->n_buffered_bytes > s->max_buffered_bytes;
}
