/* One connection: requests however they arrive, answers to readers of any speed, and every way a peer can leave. */
#include "fcgi/conn.h"

#include "tests/unit/fcgi/world.h"

enum { MIB = 1024 * 1024, SECOND_US = 1000000 };

static void answers_two_requests_on_one_connection(void **state)
{
	struct world *w = *state;
	struct client c;

	w->on_request = echo;
	client_open(w, &c);
	client_request(w, &c, KEEP, "first", STR("one"));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 1));
	assert_text(buf_str(&c.out), "first:one");
	client_request(w, &c, KEEP, "second", STR(""));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 2));
	assert_text(buf_str(&c.out), "first:onesecond:");
	assert_int_equal(c.protocol_status, RECORD_REQUEST_COMPLETE);
	assert_int_equal(w->n_requests, 2);
	assert_int_equal(w->n_left, 0);
	assert_false(c.closed);
	client_close(&c);
}

static void closes_after_the_answer_if_the_peer_does_not_keep(void **state)
{
	struct world *w = *state;
	struct client c;

	w->on_request = echo;
	client_open(w, &c);
	client_request(w, &c, 0, "once", STR("x"));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.closed));
	assert_int_equal(c.n_ends, 1);
	assert_text(buf_str(&c.out), "once:x");
	assert_int_equal(w->server.n_conns, 0);
	assert_int_equal(w->n_left, 0);
	client_close(&c);
}

static void gives_the_handler_its_request_until_it_answers(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(w, &c);
	client_request(w, &c, KEEP, "later", STR("{}"));
	TURN_UNTIL(w->loop, w->held);
	assert_text(w->held->body, "{}");
	assert_true(w->held->began_us <= clock_mono_us());
	assert_true(clock_mono_us() - w->held->began_us < 5 * SECOND_US);
	fcgi_send(w->held, STR("Status: 200\r\n\r\n"));
	assert_int_equal(fcgi_unsent(w->held), 0);
	fcgi_send(w->held, STR(""));
	fcgi_send(w->held, (struct str){NULL, 0});
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.out.len == 15));
	assert_int_equal(c.n_ends, 0);
	fcgi_drop_body(w->held);
	assert_int_equal(w->held->body.len, 0);
	assert_text(params_get(&w->held->params, "TEST"), "later");
	fcgi_finish(w->held, (struct str){NULL, 0});
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 1));
	assert_int_equal(w->n_writable, 0); /* nothing ever waited */
	client_close(&c);
}

/* The request in two pieces that meet at every byte, with the loop turned in between. */
static void serves_a_request_however_it_is_cut(void **state)
{
	struct world *w = *state;
	struct buf b = {0};
	struct client c;

	w->on_request = echo;
	put_request(&b, KEEP, "cut", STR("body"));
	client_open(w, &c);
	for (size_t cut = 0; cut <= b.len; cut++) {
		c.out.len = 0;
		client_send(w, &c, (struct str){b.p, cut});
		loop_turn(w->loop, false);
		loop_turn(w->loop, false);
		client_send(w, &c, (struct str){b.p + cut, b.len - cut});
		TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == cut + 1));
		assert_text(buf_str(&c.out), "cut:body");
	}
	c.out.len = 0;
	for (size_t i = 0; i < b.len; i++) {
		client_send(w, &c, (struct str){b.p + i, 1});
		loop_turn(w->loop, false);
	}
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == b.len + 2));
	assert_text(buf_str(&c.out), "cut:body");
	client_close(&c);
	buf_fini(&b);
}

static void serves_requests_that_arrive_together_one_by_one(void **state)
{
	struct world *w = *state;
	struct buf b = {0};
	struct client c;

	w->on_request = echo;
	client_open(w, &c);
	put_request(&b, KEEP, "a", STR("1"));
	put_request(&b, KEEP, "b", STR("2"));
	put_request(&b, KEEP, "c", STR("3"));
	for (size_t cut = 0; cut <= b.len; cut += 3) {
		c.out.len = 0;
		client_send(w, &c, (struct str){b.p, cut});
		loop_turn(w->loop, false);
		client_send(w, &c, (struct str){b.p + cut, b.len - cut});
		TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == cut + 3 || c.closed));
		assert_false(c.closed);
		assert_text(buf_str(&c.out), "a:1b:2c:3");
	}
	client_close(&c);
	buf_fini(&b);
}

static void tells_at_once_that_the_client_left(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR("body"));
	TURN_UNTIL(w->loop, w->held);
	client_close(&c);
	loop_turn(w->loop, false);
	assert_int_equal(w->n_left, 1);
	assert_int_equal(w->server.n_conns, 0);
	assert_int_equal(w->server.n_buffered_bytes, 0);
}

static void tells_at_once_that_a_streaming_client_left(void **state)
{
	struct buf big = pattern(4 * MIB);
	struct world *w = *state;
	struct client c;

	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR(""));
	TURN_UNTIL(w->loop, w->held);
	fcgi_send(w->held, buf_str(&big));
	assert_true(fcgi_unsent(w->held) > 0);
	loop_turn(w->loop, false);
	client_close(&c);
	loop_turn(w->loop, false);
	loop_turn(w->loop, false);
	assert_int_equal(w->n_left, 1);
	assert_int_equal(w->n_writable, 0);
	assert_int_equal(w->server.n_conns, 0);
	buf_fini(&big);
}

/* A write that fails must not be the end of the world: the leaving is told from the loop, not from inside fcgi_send. */
static void sends_into_a_socket_that_is_gone(void **state)
{
	struct world *w = *state;
	struct client c;

	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR(""));
	TURN_UNTIL(w->loop, w->held);
	client_close(&c);
	fcgi_send(w->held, STR("to nobody"));
	assert_int_equal(w->n_left, 0);
	fcgi_send(w->held, STR("to nobody"));
	loop_turn(w->loop, false);
	assert_int_equal(w->n_left, 1);

	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR(""));
	TURN_UNTIL(w->loop, w->held);
	client_close(&c);
	fcgi_finish(w->held, STR("to nobody"));
	TURN_UNTIL(w->loop, w->server.n_conns == 0);
	assert_int_equal(w->n_left, 1);
}

static void takes_an_abort_for_leaving(void **state)
{
	struct world *w = *state;
	struct buf b = {0};
	struct client c;

	put_record(&b, ABORT, 1, STR(""));
	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR(""));
	TURN_UNTIL(w->loop, w->held);
	client_send(w, &c, buf_str(&b));
	TURN_UNTIL(w->loop, w->n_left == 1);
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.closed));
	client_close(&c);
	buf_fini(&b);
}

static void send_rest(struct world *w, struct fcgi_request *r)
{
	while (w->rest.len > 0 && fcgi_unsent(r) == 0) {
		struct str piece = {w->rest.p, w->rest.len < 100000 ? w->rest.len : 100000};

		fcgi_send(r, piece);
		w->rest = str_skip(w->rest, piece.len);
	}
	if (w->rest.len == 0 && fcgi_unsent(r) == 0) {
		w->held = NULL;
		fcgi_finish(r, STR(""));
	}
}

static void streams_8_megabytes_to_a_slow_reader(void **state)
{
	struct buf big = pattern(8 * MIB);
	struct world *w = *state;
	struct client c;

	w->on_request = w->on_writable = send_rest;
	w->rest = buf_str(&big);
	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR(""));
	for (size_t turn = 0; c.n_ends == 0 && !c.closed; turn++) {
		assert_true(turn < 100000);
		loop_turn(w->loop, false);
		client_read(&c, 10000);
	}
	assert_int_equal(c.n_ends, 1);
	assert_true(str_eq(buf_str(&c.out), buf_str(&big)));
	assert_true(w->n_writable > 10);
	assert_int_equal(w->n_left, 0);
	client_close(&c);
	buf_fini(&big);
}

static void finish_big(struct world *w, struct fcgi_request *r)
{
	fcgi_finish(r, w->rest);
}

static void finishes_with_8_megabytes_at_once(void **state)
{
	struct buf big = pattern(8 * MIB + 17);
	struct world *w = *state;
	struct client c;

	w->on_request = finish_big;
	w->rest = buf_str(&big);
	for (unsigned flags = 0; flags <= KEEP; flags++) {
		client_open(w, &c);
		client_request(w, &c, flags, "x", STR(""));
		for (size_t turn = 0; c.n_ends == 0 && !c.closed; turn++) {
			assert_true(turn < 100000);
			loop_turn(w->loop, false);
			client_read(&c, 60000);
		}
		assert_int_equal(c.n_ends, 1);
		assert_true(str_eq(buf_str(&c.out), buf_str(&big)));
		assert_int_equal(w->n_writable, 0); /* the request is over for the handler */
		if (flags != KEEP)
			TURN_UNTIL(w->loop, AFTER_READING(&c, c.closed));
		client_close(&c);
		turn_few(w->loop);
	}
	buf_fini(&big);
}

static void keeps_a_request_that_comes_before_the_answer_is_out(void **state)
{
	struct buf big = pattern(3 * MIB);
	struct world *w = *state;
	struct client c;

	w->on_request = finish_big;
	w->rest = buf_str(&big);
	client_open(w, &c);
	client_request(w, &c, KEEP, "first", STR(""));
	TURN_UNTIL(w->loop, w->n_requests == 1);
	w->on_request = echo;
	client_request(w, &c, KEEP, "second", STR("early"));
	turn_few(w->loop);
	assert_int_equal(w->n_requests, 1);
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 2));
	assert_int_equal(c.out.len, big.len + 12);
	assert_memory_equal(c.out.p, big.p, big.len);
	assert_text(str_skip(buf_str(&c.out), big.len), "second:early");
	client_close(&c);
	buf_fini(&big);
}

static void closes_only_the_connection_that_sends_rubbish(void **state)
{
	static const struct str rubbish[] = {
		CONST_STR("GET / HTTP/1.0\r\n\r\n"),
		CONST_STR("\1\1\0\0\0\10\0\0"
			  "\0\1\0\0\0\0\0\0"),
		CONST_STR("\1\5\0\1\0\0\0\0"),
		CONST_STR("\1\1\0\1\0\10\0\0"
			  "\0\1\1\0\0\0\0\0"
			  "\1\4\0\1\0\4\0\0"
			  "\1\377\377\377"
			  "\1\4\0\1\0\0\0\0"
			  "\1\5\0\1\0\0\0\0"),
	};
	struct world *w = *state;
	struct client good, bad;

	client_open(w, &good);
	client_request(w, &good, KEEP, "good", STR(""));
	TURN_UNTIL(w->loop, w->held);
	for (size_t i = 0; i < N_ELEMENTS(rubbish); i++) {
		client_open(w, &bad);
		client_send(w, &bad, rubbish[i]);
		TURN_UNTIL(w->loop, AFTER_READING(&bad, bad.closed));
		assert_int_equal(bad.out.len + bad.n_ends, 0);
		client_close(&bad);
	}
	assert_int_equal(w->n_requests, 1);
	assert_int_equal(w->n_left, 0);
	fcgi_finish(w->held, STR("still here"));
	TURN_UNTIL(w->loop, AFTER_READING(&good, good.n_ends == 1));
	assert_text(buf_str(&good.out), "still here");

	/* rubbish behind a request that is being answered: the handler must hear of it */
	client_request(w, &good, KEEP, "again", STR(""));
	TURN_UNTIL(w->loop, w->n_requests == 2);
	client_send(w, &good, rubbish[0]);
	TURN_UNTIL(w->loop, w->n_left == 1);
	client_close(&good);
}

static void refuses_a_role_with_an_answer(void **state)
{
	struct world *w = *state;
	struct buf b = {0};
	struct client c;

	put_begin(&b, 1, 2, KEEP);
	client_open(w, &c);
	client_send(w, &c, buf_str(&b));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.closed));
	assert_int_equal(c.in.len, 0);
	assert_int_equal(c.n_ends, 1);
	assert_int_equal(c.protocol_status, RECORD_UNKNOWN_ROLE);
	client_close(&c);
	buf_fini(&b);
}

static void survives_random_damage(void **state)
{
	struct world *w = *state;
	uint32_t seed = 99;
	struct buf b = {0};

	w->on_request = echo;
	put_request(&b, KEEP, "damaged", STR("body"));
	for (int round = 0; round < 1500; round++) {
		struct buf copy = {0};
		struct client c;

		buf_add_str(&copy, buf_str(&b));
		buf_add_str(&copy, buf_str(&b));
		for (uint32_t i = 0; i < 1 + next_random(&seed) % 3; i++)
			copy.p[next_random(&seed) % copy.len] = (char)next_random(&seed);
		client_open(w, &c);
		client_send(w, &c, (struct str){copy.p, next_random(&seed) % copy.len});
		loop_turn(w->loop, false);
		loop_turn(w->loop, false);
		client_close(&c);
		buf_fini(&copy);
	}
	TURN_UNTIL(w->loop, w->server.n_conns == 0);
	assert_true(w->n_requests > 100);
	buf_fini(&b);
}

/* The deadlines are asked for directly, with the time they would be asked at. */
static void gives_up_on_half_a_request(void **state)
{
	struct world *w = *state;
	struct buf b = {0};
	struct client c;
	uint64_t now_us = clock_mono_us();

	put_request(&b, KEEP, "half", STR("body"));
	client_open(w, &c);
	client_send(w, &c, (struct str){b.p, 5});
	turn_few(w->loop);
	conn_check_deadline(only_conn(w), now_us + 29 * SECOND_US);
	assert_int_equal(w->server.n_conns, 1);
	client_send(w, &c, (struct str){b.p + 5, b.len - 10}); /* progress does not buy more time: the request has 30 s as a whole */
	turn_few(w->loop);
	conn_check_deadline(only_conn(w), clock_mono_us() + 31 * SECOND_US);
	assert_int_equal(w->server.n_conns, 0);
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.closed));
	assert_int_equal(w->n_requests + w->n_left, 0);
	assert_int_equal(w->server.n_buffered_bytes, 0);
	client_close(&c);
	buf_fini(&b);
}

static void a_trickle_does_not_prolong_the_deadline(void **state)
{
	struct world *w = *state;
	struct buf b = {0};
	struct client c;
	uint64_t start_us = 100 * SECOND_US;

	clock_set_for_test(start_us, 0);
	put_request(&b, KEEP, "trickle", STR("a body of some length"));
	client_open(w, &c);
	for (unsigned i = 0; i < 32 && w->server.n_conns + (i < 2); i++) {
		client_send(w, &c, (struct str){b.p + i, 1});
		turn_few(w->loop);
		clock_set_for_test(start_us + i * SECOND_US, 0);
		if (w->server.n_conns)
			conn_check_deadline(only_conn(w), clock_mono_us());
	}
	assert_int_equal(w->server.n_conns, 0);
	client_close(&c);
	buf_fini(&b);
}

static void leaves_idle_connections_and_thinking_handlers_alone(void **state)
{
	struct world *w = *state;
	struct client idle, busy;
	uint64_t later_us = clock_mono_us() + 3600ULL * SECOND_US;

	client_open(w, &idle);
	client_open(w, &busy);
	client_request(w, &busy, KEEP, "x", STR(""));
	TURN_UNTIL(w->loop, w->held);
	for (struct list *l = w->server.conns.next, *next; l != &w->server.conns; l = next) {
		next = l->next;
		conn_check_deadline(conn_of_node(l), later_us);
	}
	assert_int_equal(w->server.n_conns, 2);
	assert_int_equal(w->n_left, 0);
	client_close(&idle);
	client_close(&busy);
}

static void gives_up_on_a_reader_that_stands_still(void **state)
{
	struct buf big = pattern(4 * MIB);
	struct world *w = *state;
	struct client c;

	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR(""));
	TURN_UNTIL(w->loop, w->held);
	fcgi_send(w->held, buf_str(&big));
	turn_few(w->loop);
	conn_check_deadline(only_conn(w), clock_mono_us() + 119 * SECOND_US);
	assert_int_equal(w->n_left, 0);
	conn_check_deadline(only_conn(w), clock_mono_us() + 121 * SECOND_US);
	assert_int_equal(w->n_left, 1);
	assert_int_equal(w->server.n_conns, 0);
	client_close(&c);

	/* the same after fcgi_finish, when there is no handler to tell */
	w->on_request = finish_big;
	w->rest = buf_str(&big);
	client_open(w, &c);
	client_request(w, &c, KEEP, "x", STR(""));
	TURN_UNTIL(w->loop, w->n_requests == 2);
	conn_check_deadline(only_conn(w), clock_mono_us() + 121 * SECOND_US);
	assert_int_equal(w->n_left, 1);
	assert_int_equal(w->server.n_conns, 0);
	client_close(&c);
	buf_fini(&big);
}

static void reads_a_body_over_the_limit_to_its_end_and_says_so(void **state)
{
	struct buf big = pattern(WORLD_MAX_BODY + 1);
	struct world *w = *state;
	struct client c;

	w->on_request = echo;
	client_open(w, &c);
	client_request(w, &c, KEEP, "big", buf_str(&big));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 1));
	assert_true(w->body_too_large);
	assert_text(buf_str(&c.out), "big:");
	big.len--;
	c.out.len = 0;
	client_request(w, &c, KEEP, "fits", buf_str(&big));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 2));
	assert_false(w->body_too_large);
	assert_int_equal(c.out.len, 5 + big.len);
	assert_memory_equal(c.out.p + 5, big.p, big.len);
	assert_int_equal(w->server.n_buffered_bytes, 0);
	client_close(&c);
	buf_fini(&big);
}

static void drops_bodies_when_too_much_is_buffered(void **state)
{
	struct buf big = pattern(300000);
	struct world *w = *state;
	struct client holder, c;

	w->server.max_buffered_bytes = 700000;
	client_open(w, &holder);
	client_request(w, &holder, KEEP, "holder", buf_str(&big));
	TURN_UNTIL(w->loop, w->held);
	assert_false(w->overloaded);
	assert_true(w->server.n_buffered_bytes >= big.len);
	w->on_request = echo;
	client_open(w, &c);
	client_request(w, &c, KEEP, "a", buf_str(&big));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 1));
	assert_true(w->overloaded);
	assert_text(buf_str(&c.out), "a:");
	/* no body, no trouble */
	client_request(w, &c, KEEP, "b", STR(""));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 2));
	assert_false(w->overloaded);
	/* and it is over when the body has been used */
	fcgi_drop_body(w->held);
	assert_int_equal(w->server.n_buffered_bytes, 0);
	client_request(w, &c, KEEP, "c", buf_str(&big));
	TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 3));
	assert_false(w->overloaded);
	assert_false(w->body_too_large);
	assert_int_equal(c.out.len, 2 + 2 + 2 + big.len);
	assert_int_equal(w->server.n_buffered_bytes, 0);
	client_close(&holder);
	client_close(&c);
	buf_fini(&big);
}

static void finish_from_writable(struct world *w, struct fcgi_request *r)
{
	(void)w;
	fcgi_finish(r, STR("end"));
}

static void may_be_finished_from_on_writable(void **state)
{
	struct buf big = pattern(2 * MIB);
	struct world *w = *state;
	struct client c;

	w->on_writable = finish_from_writable;
	for (unsigned flags = 0; flags <= KEEP; flags++) {
		unsigned n_writable = w->n_writable;

		client_open(w, &c);
		client_request(w, &c, flags, "x", STR(""));
		TURN_UNTIL(w->loop, w->held);
		fcgi_send(w->held, buf_str(&big));
		w->held = NULL;
		TURN_UNTIL(w->loop, AFTER_READING(&c, c.n_ends == 1));
		assert_int_equal(c.out.len, big.len + 3);
		assert_int_equal(w->n_writable, n_writable + 1);
		client_close(&c);
	}
	buf_fini(&big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(answers_two_requests_on_one_connection),
		T(closes_after_the_answer_if_the_peer_does_not_keep),
		T(gives_the_handler_its_request_until_it_answers),
		T(serves_a_request_however_it_is_cut),
		T(serves_requests_that_arrive_together_one_by_one),
		T(tells_at_once_that_the_client_left),
		T(tells_at_once_that_a_streaming_client_left),
		T(sends_into_a_socket_that_is_gone),
		T(takes_an_abort_for_leaving),
		T(streams_8_megabytes_to_a_slow_reader),
		T(finishes_with_8_megabytes_at_once),
		T(keeps_a_request_that_comes_before_the_answer_is_out),
		T(closes_only_the_connection_that_sends_rubbish),
		T(refuses_a_role_with_an_answer),
		T(survives_random_damage),
		T(gives_up_on_half_a_request),
		T(a_trickle_does_not_prolong_the_deadline),
		T(leaves_idle_connections_and_thinking_handlers_alone),
		T(gives_up_on_a_reader_that_stands_still),
		T(reads_a_body_over_the_limit_to_its_end_and_says_so),
		T(drops_bodies_when_too_much_is_buffered),
		T(may_be_finished_from_on_writable),
#undef T
	};

	request_libfcgi_init();
	return cmocka_run_group_tests(tests, quiet, NULL);
}
