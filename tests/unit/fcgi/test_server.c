/* Accepting, pausing when descriptors run out, draining, closing. */
#include "fcgi/server.h"

#include "tests/unit/fcgi/world.h"

enum { SECOND_US = 1000000 };

static void refuses_a_descriptor_that_does_not_listen(void **state)
{
	struct server s = {.loop = NULL};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), ends[2];

	(void)state;
	s.loop = loop_new();
	assert_int_equal(server_open(&s, fd), -1);
	assert_int_equal(server_open(&s, 999), -1);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(server_open(&s, ends[0]), -1);
	server_close(&s);
	close(fd);
	close(ends[0]);
	close(ends[1]);
	assert_true(loop_free(s.loop));
}

static void serves_many_at_once(void **state)
{
	enum { N = 200 };
	struct world *w = *state;
	struct client *clients = mem_alloc(N * sizeof(*clients));

	w->on_request = echo;
	for (int i = 0; i < N; i++) {
		client_open(w, &clients[i]);
		loop_turn(w->loop, false);
	}
	for (int i = 0; i < N; i++)
		client_request(w, &clients[i], KEEP, "many", STR("x"));
	for (int i = 0; i < N; i++) {
		TURN_UNTIL(w->loop, AFTER_READING(&clients[i], clients[i].n_ends == 1));
		assert_text(buf_str(&clients[i].out), "many:x");
	}
	assert_int_equal(w->server.n_conns, N);
	for (int i = 0; i < N; i++)
		client_close(&clients[i]);
	TURN_UNTIL(w->loop, w->server.n_conns == 0);
	free(clients);
}

static void pauses_when_descriptors_run_out_and_recovers(void **state)
{
	enum { N = 12, ROOM = 3 };
	struct world *w = *state;
	struct client clients[N];
	struct rlimit before, few;
	uint64_t began_ms;
	unsigned n_turns;

	w->on_request = echo;
	for (int i = 0; i < N; i++)
		client_open(w, &clients[i]);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	few.rlim_cur = (rlim_t)clients[N - 1].fd + 1 + ROOM;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	TURN_UNTIL(w->loop, w->server.n_conns > 0);
	turn_for_ms(w->loop, 20);
	assert_int_equal(w->server.n_conns, ROOM);

	/* those it has are served meanwhile, and the loop does not spin */
	client_request(w, &clients[0], KEEP, "x", STR("1"));
	TURN_UNTIL(w->loop, AFTER_READING(&clients[0], clients[0].n_ends == 1));
	began_ms = real_ms();
	for (n_turns = 0; real_ms() - began_ms < 200; n_turns++)
		loop_turn(w->loop, true); /* waits: nothing is ready but the listening socket, which is not watched */
	assert_in_range(n_turns, 1, 20);
	assert_int_equal(w->server.n_conns, ROOM);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	TURN_UNTIL(w->loop, w->server.n_conns == N);
	for (int i = 0; i < N; i++) {
		client_request(w, &clients[i], KEEP, "y", STR("2"));
		TURN_UNTIL(w->loop, AFTER_READING(&clients[i], clients[i].n_ends == (i == 0 ? 2 : 1)));
	}
	for (int i = 0; i < N; i++)
		client_close(&clients[i]);
}

static void pretend_later(struct world *w, uint64_t *now_us, uint64_t seconds)
{
	*now_us += seconds * SECOND_US;
	clock_set_for_test(*now_us, 0);
	turn_for_ms(w->loop, 1100); /* a tick is a real second */
}

static void drains_without_closing_what_is_needed(void **state)
{
	struct world *w = *state;
	uint64_t now_us = 1000 * (uint64_t)SECOND_US;
	struct client busy, idle;

	clock_set_for_test(now_us, 0);
	client_open(w, &idle);
	client_open(w, &busy);
	client_request(w, &busy, KEEP, "busy", STR(""));
	TURN_UNTIL(w->loop, w->held && w->server.n_conns == 2);
	assert_int_equal(server_n_busy(&w->server), 1);
	pretend_later(w, &now_us, 3600);
	assert_int_equal(w->server.n_conns, 2); /* an idle one may stay for ever */
	client_close(&idle);
	client_open(w, &idle);
	turn_few(w->loop);
	assert_int_equal(w->server.n_conns, 2);
	server_drain(&w->server);
	pretend_later(w, &now_us, 1);
	assert_int_equal(w->server.n_conns, 2); /* an idle one is not closed right away: a request may be on its way */

	/* it still serves */
	w->on_request = echo;
	client_request(w, &idle, KEEP, "late", STR("x"));
	TURN_UNTIL(w->loop, AFTER_READING(&idle, idle.n_ends == 1));
	assert_text(buf_str(&idle.out), "late:x");
	assert_int_equal(server_n_busy(&w->server), 1);

	pretend_later(w, &now_us, 8);
	assert_int_equal(w->server.n_conns, 1); /* the idle one has gone, the busy one may take its time */
	assert_int_equal(w->n_left, 0);
	TURN_UNTIL(w->loop, AFTER_READING(&idle, idle.closed));
	fcgi_finish(w->held, STR("done"));
	TURN_UNTIL(w->loop, AFTER_READING(&busy, busy.n_ends == 1));
	assert_int_equal(server_n_busy(&w->server), 0);
	assert_int_equal(w->server.n_conns, 1);
	pretend_later(w, &now_us, 8);
	assert_int_equal(w->server.n_conns, 0);
	client_close(&busy);
	client_close(&idle);
}

static void counts_an_answer_that_is_not_out_as_busy(void **state)
{
	struct buf big = pattern(2 * 1024 * 1024);
	struct world *w = *state;
	struct client c;

	client_open(w, &c);
	client_send(w, &c, STR("\1\1\0\1\0"));
	TURN_UNTIL(w->loop, w->server.n_conns == 1);
	turn_few(w->loop);
	assert_int_equal(server_n_busy(&w->server), 1); /* half a request */
	client_close(&c);
	TURN_UNTIL(w->loop, w->server.n_conns == 0);
	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR(""));
	TURN_UNTIL(w->loop, w->held);
	fcgi_finish(w->held, buf_str(&big));
	turn_few(w->loop);
	assert_int_equal(server_n_busy(&w->server), 1);
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 1));
	assert_int_equal(server_n_busy(&w->server), 0);
	client_close(&c);
	buf_fini(&big);
}

static void closes_everything_at_once(void **state)
{
	struct world *w = *state;
	struct client busy, idle, half;

	client_open(w, &idle);
	client_open(w, &half);
	client_open(w, &busy);
	client_send(w, &half, STR("\1\1\0\1\0"));
	client_request(w, &busy, KEEP, "busy", STR("with a body"));
	TURN_UNTIL(w->loop, w->held && w->server.n_conns == 3);
	server_close(&w->server);
	assert_int_equal(w->n_left, 1);
	assert_int_equal(w->server.n_conns, 0);
	TURN_UNTIL(w->loop, AFTER_READING(&busy, busy.closed));
	TURN_UNTIL(w->loop, AFTER_READING(&idle, idle.closed));
	TURN_UNTIL(w->loop, AFTER_READING(&half, half.closed));
	client_close(&busy);
	client_close(&idle);
	client_close(&half);
}

static void leaks_no_descriptor_when_clients_come_and_go(void **state)
{
	struct world *w = *state;
	size_t before = 0;

	w->on_request = echo;
	for (int i = 0; i < 300; i++) {
		struct client c;

		client_open(w, &c);
		if (i % 3)
			client_request(w, &c, i % 2 ? KEEP : 0, "x", STR("y"));
		if (i % 3 == 1)
			TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 1));
		client_close(&c);
		TURN_UNTIL(w->loop, w->server.n_conns == 0);
		turn_few(w->loop);
		if (i == 10)
			before = count_fds();
	}
	assert_int_equal(count_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		cmocka_unit_test(refuses_a_descriptor_that_does_not_listen),
		T(serves_many_at_once),
		T(pauses_when_descriptors_run_out_and_recovers),
		T(drains_without_closing_what_is_needed),
		T(counts_an_answer_that_is_not_out_as_busy),
		T(closes_everything_at_once),
		T(leaks_no_descriptor_when_clients_come_and_go),
#undef T
	};

	request_libfcgi_init();
	return cmocka_run_group_tests(tests, quiet, NULL);
}
