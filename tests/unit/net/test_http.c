/* HTTP calls against a peer that is played by hand: everything a server can do wrong, and cancelling at every moment. */
#include "net/http.h"

#include <sys/resource.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "net/resolver.h"
#include "tests/unit/net/peer.h"

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct http *http;
	struct peer peer;
};

struct caller {
	struct http_call call;
	struct buf question; /* to be sent; a short one if empty */
	struct buf body;
	unsigned n_headers, n_pieces, n_done;
	int err;
	char content_type[HTTP_CONTENT_TYPE_SIZE];
	char failure[256];
	enum { NEVER, IN_HEADERS, IN_BODY } cancel_when;
};

static int make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->loop = loop_new();
	w->resolver = resolver_new(w->loop);
	w->http = http_new(w->loop, w->resolver);
	peer_open(&w->peer);
	*state = w;
	return 0;
}

static int end_world(void **state)
{
	struct world *w = *state;

	http_free(w->http);
	end_look_ups(w->loop, w->resolver);
	resolver_free(w->resolver);
	turn_few(w->loop);
	assert_true(loop_free(w->loop));
	peer_close(&w->peer);
	free(w);
	return 0;
}

static void on_headers(struct http_call *call)
{
	struct caller *c = CONTAINER_OF(call, struct caller, call);

	assert_int_equal(c->n_done, 0);
	c->n_headers++;
	snprintf(c->content_type, sizeof(c->content_type), "%s", call->content_type);
	if (c->cancel_when == IN_HEADERS)
		op_cancel(&call->op);
}

static void on_body(struct http_call *call, struct str bytes)
{
	struct caller *c = CONTAINER_OF(call, struct caller, call);

	assert_int_equal(c->n_headers, 1);
	assert_int_equal(c->n_done, 0);
	c->n_pieces++;
	buf_add_str(&c->body, bytes);
	if (c->cancel_when == IN_BODY)
		op_cancel(&call->op);
}

static void on_done(struct op *op)
{
	struct caller *c = CONTAINER_OF(op, struct caller, call.op);

	c->n_done++;
	c->err = op->err;
	if (op->err) {
		assert_non_null(c->call.failure);
		snprintf(c->failure, sizeof(c->failure), "%s", c->call.failure);
	}
}

static void start_with(struct world *w, struct caller *c, const char *url, uint64_t connect_ms)
{
	static const char *const headers[] = {"Content-Type: application/json", "X-Name: value"};
	struct http_post post = {
		.url = url,
		.headers = headers,
		.n_headers = N_ELEMENTS(headers),
		.connect_ms = connect_ms,
		.body = c->question, /* ownership moves */
	};

	c->n_headers = c->n_pieces = c->n_done = 0;
	c->err = 1;
	c->body.len = 0;
	c->call.op.done = on_done;
	c->call.on_headers = on_headers;
	c->call.on_body = on_body;
	c->question = (struct buf){0};
	if (!post.body.len)
		buf_add_str(&post.body, STR("{\"q\":1}"));
	http_post_start(w->http, &c->call, &post);
	assert_null(post.body.p);
	assert_true(op_waiting(&c->call.op));
	assert_int_equal(c->n_done, 0); /* nothing calls back from inside */
}

static void start(struct world *w, struct caller *c)
{
	w->peer.in.len = 0;
	start_with(w, c, w->peer.url, 3000);
}

static void start_and_accept(struct world *w, struct caller *c)
{
	start(w, c);
	TURN_UNTIL(w->loop, peer_has_request(&w->peer));
}

#define CHUNKED "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

static void posts_what_it_is_told(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	const char *text;

	start_and_accept(w, &c);
	text = w->peer.in.p;
	assert_true(str_starts(buf_str(&w->peer.in), STR("POST /v1/chat HTTP/1.1\r\n")));
	assert_non_null(strstr(text, "\r\nX-Name: value\r\n"));
	assert_non_null(strstr(text, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(text, "\r\nContent-Length: 7\r\n"));
	assert_non_null(strstr(text, "\r\n\r\n{\"q\":1}"));
	assert_null(strcasestr(text, "\r\nExpect:"));
	peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=UTF-8\r\nContent-Length: 5\r\n\r\nhello"));
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, 0);
	assert_int_equal(c.call.status, 200);
	assert_int_equal(c.call.retry_after_s, -1);
	assert_string_equal(c.content_type, "text/event-stream");
	assert_text(buf_str(&c.body), "hello");
	assert_false(op_waiting(&c.call.op));
	op_cancel(&c.call.op); /* does nothing any more */
	buf_fini(&c.body);
}

static void reads_an_answer_however_it_is_cut(void **state)
{
	static const struct str answers[] = {
		CONST_STR(CHUNKED "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"),
		CONST_STR("HTTP/1.1 200 OK\r\ncontent-type:text/event-stream\r\ncontent-length: 11\r\n\r\nhello world"),
		CONST_STR("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\nRetry-After: 9\r\nContent-Type: "
			  "a/b\r\n\r\n" CHUNKED "b\r\nhello world\r\n0\r\nRetry-After: 7\r\nX-Trailer: y\r\n\r\n"),
	};
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t i = 0; i < N_ELEMENTS(answers); i++) {
		for (size_t cut = 0; cut <= answers[i].len; cut++) {
			start_and_accept(w, &c);
			peer_send(&w->peer, (struct str){answers[i].p, cut});
			turn_few(w->loop);
			assert_true(cut == answers[i].len || c.n_done == 0);
			peer_send(&w->peer, str_skip(answers[i], cut));
			TURN_UNTIL(w->loop, c.n_done);
			assert_int_equal(c.err, 0);
			assert_int_equal(c.n_headers, 1);
			assert_int_equal(c.call.status, 200);
			assert_string_equal(c.content_type, "text/event-stream");
			assert_text(buf_str(&c.body), "hello world");
		}
	}
	assert_int_equal(w->peer.n_accepted, 1); /* one connection for all of them */
	buf_fini(&c.body);
}

static void hands_on_each_piece_at_once(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	TURN_UNTIL(w->loop, c.n_headers);
	for (unsigned i = 1; i <= 20; i++) {
		peer_send(&w->peer, STR("1\r\nx\r\n"));
		TURN_UNTIL(w->loop, c.n_pieces == i);
		assert_int_equal(c.body.len, i);
	}
	peer_send(&w->peer, STR("0\r\n\r\n"));
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, 0);
	buf_fini(&c.body);
}

static void reads_statuses_and_retry_after(void **state)
{
	static const struct {
		const char *answer;
		int status, retry_after_s;
	} samples[] = {
		{"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 17\r\nContent-Length: 2\r\n\r\n{}", 429, 17},
		{"HTTP/1.1 429 \r\nretry-after:0\r\nContent-Length: 0\r\n\r\n", 429, 0},
		{"HTTP/1.1 503 x\r\nRetry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent-Length: 0\r\n\r\n", 503, -1},
		{"HTTP/1.1 503 x\r\nRetry-After: -5\r\nContent-Length: 0\r\n\r\n", 503, -1},
		{"HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n", 503, -1},
		{"HTTP/1.1 529 \r\nContent-Length: 0\r\n\r\n", 529, -1},
		{"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302, -1},
		{"HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer\r\nContent-Length: 0\r\n\r\n", 401, -1},
		{"HTTP/1.1 204 No Content\r\n\r\n", 204, -1},
	};
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, str_from(samples[i].answer));
		TURN_UNTIL(w->loop, c.n_done);
		assert_int_equal(c.err, 0);
		assert_int_equal(c.n_headers, 1);
		assert_int_equal(c.call.status, samples[i].status);
		assert_int_equal(c.call.retry_after_s, samples[i].retry_after_s);
	}
	buf_fini(&c.body);
}

static void cuts_a_content_type_that_is_too_long(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	struct buf b = {0};

	buf_add_str(&b, STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Type: "));
	for (int i = 0; i < 500; i++)
		buf_add_char(&b, 'A');
	buf_add_str(&b, STR("\r\n\r\n"));
	start_and_accept(w, &c);
	peer_send(&w->peer, buf_str(&b));
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, 0);
	assert_int_equal(strlen(c.content_type), HTTP_CONTENT_TYPE_SIZE - 1);
	assert_int_equal(c.content_type[0], 'a');
	buf_fini(&b);
	buf_fini(&c.body);
}

static void uses_a_connection_again_and_replaces_one_that_was_closed(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (unsigned i = 0; i < 6; i++) {
		start_and_accept(w, &c);
		peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
		TURN_UNTIL(w->loop, c.n_done);
		assert_int_equal(c.err, 0);
		assert_text(buf_str(&c.body), "ok");
		assert_int_equal(w->peer.n_accepted, 1 + i / 3);
		assert_non_null(strstr(w->peer.in.p, "\r\n\r\n{\"q\":1}"));
		if (i == 2) { /* the server has had enough of it; the next call must not suffer */
			peer_hang_up(&w->peer);
			turn_few(w->loop);
		}
	}
	buf_fini(&c.body);
}

static void sends_a_long_question_whole(void **state)
{
	enum { BYTES = 3 * 1024 * 1024 };
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (int round = 0; round < 3; round++) {
		const char *body;

		for (size_t i = 0; i < BYTES; i++)
			buf_add_char(&c.question, (char)(' ' + i * 7 % 90));
		start_and_accept(w, &c);
		body = strstr(w->peer.in.p, "\r\n\r\n") + 4;
		assert_int_equal(w->peer.in.len - (size_t)(body - w->peer.in.p), BYTES);
		for (size_t i = 0; i < BYTES; i++)
			assert_true(body[i] == (char)(' ' + i * 7 % 90));
		peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
		TURN_UNTIL(w->loop, c.n_done);
		assert_int_equal(c.err, 0);
		if (round == 1) { /* the third one has to be sent again, over a new connection */
			peer_hang_up(&w->peer);
			turn_few(w->loop);
		}
	}
	/* refused before all of it is there */
	for (size_t i = 0; i < BYTES; i++)
		buf_add_char(&c.question, 'q');
	start(w, &c);
	TURN_UNTIL(w->loop, peer_look(&w->peer) && w->peer.in.len > 100);
	peer_send(&w->peer, STR("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"));
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.n_headers, 1);
	assert_int_equal(c.call.status, 413);
	buf_fini(&c.body);
}

static void reads_until_the_connection_closes(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	start_and_accept(w, &c);
	peer_send(&w->peer, STR("HTTP/1.0 200 OK\r\n\r\nall of it"));
	turn_few(w->loop);
	assert_int_equal(c.n_done, 0);
	peer_hang_up(&w->peer);
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, 0);
	assert_text(buf_str(&c.body), "all of it");
	buf_fini(&c.body);
}

static void reports_answers_that_are_cut_or_no_answers_at_all(void **state)
{
	static const char *const samples[] = {
		"",
		"H",
		"HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nContent-",
		"HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
		CHUNKED,
		CHUNKED "5\r\nhel",
		CHUNKED "5\r\nhello\r\n",
		CHUNKED "5\r\nhello\r\n0\r\n",
		CHUNKED "zz\r\nhello\r\n",
		"220 smtp.example.com ESMTP\r\n",
		"\x16\x03\x01\x02",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
	};
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		for (int reset = 0; reset < 2; reset++) {
			start_and_accept(w, &c);
			peer_send(&w->peer, str_from(samples[i]));
			turn_few(w->loop);
			if (reset)
				peer_reset(&w->peer);
			else
				peer_hang_up(&w->peer);
			TURN_UNTIL(w->loop, c.n_done);
			assert_int_equal(c.err, -ERR_UPSTREAM);
			assert_true(strlen(c.failure) > 3);
			assert_int_equal(c.n_done, 1);
		}
	}
	buf_fini(&c.body);
}

static void refuses_headers_without_end(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	struct buf b = {0};

	buf_add_str(&b, STR("HTTP/1.1 200 OK\r\n"));
	for (int i = 0; i < 100000; i++)
		buf_add_str(&b, STR("X-Header: and so on and so forth\r\n"));
	start_and_accept(w, &c);
	peer_send_much(&w->peer, w->loop, buf_str(&b));
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, -ERR_UPSTREAM);
	assert_int_equal(c.n_headers, 0);
	buf_fini(&b);
	buf_fini(&c.body);
}

static void reports_a_refused_connection(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	close(w->peer.listen_fd);
	w->peer.listen_fd = -1;
	start(w, &c);
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, -ERR_UPSTREAM);
	assert_true(strlen(c.failure) > 3);
	assert_int_equal(c.call.status, 0);
	buf_fini(&c.body);
}

static void says_that_the_lack_of_descriptors_is_its_own(void **state)
{
	struct world *w = *state;
	struct caller kept = {.n_done = 0}, c = {.n_done = 0};
	struct rlimit before, none;

	start_and_accept(w, &kept);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	start(w, &c);
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(c.err, -ERR_OVERLOADED);
	assert_string_equal(c.failure, "this server has run out of descriptors or memory");

	/* what is open goes on, and another one is a provider's again */
	peer_send(&w->peer, STR(CHUNKED "0\r\n\r\n"));
	TURN_UNTIL(w->loop, kept.n_done);
	assert_int_equal(kept.err, 0);
	peer_hang_up(&w->peer);
	close(w->peer.listen_fd);
	w->peer.listen_fd = -1;
	start(w, &c);
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, -ERR_UPSTREAM);
	buf_fini(&c.body);
	buf_fini(&kept.body);
}

static void gives_up_connecting_in_time(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	struct peer full;
	int fillers[4];
	uint64_t began_ms;

	/* A backlog that is full: the kernel does not answer. */
	peer_open_on(&full, "127.0.0.1", 0);
	for (size_t i = 0; i < N_ELEMENTS(fillers); i++) {
		struct sockaddr_in address = {
			.sin_family = AF_INET, .sin_port = htons(full.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fillers[i], (struct sockaddr *)&address, sizeof(address)) != 0)
			assert_int_equal(errno, EINPROGRESS);
	}
	began_ms = real_ms();
	start_with(w, &c, full.url, 150);
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, -ERR_UPSTREAM_TIMEOUT);
	assert_in_range(real_ms() - began_ms, 100, 2000);
	for (size_t i = 0; i < N_ELEMENTS(fillers); i++)
		close(fillers[i]);
	peer_close(&full);
	buf_fini(&c.body);
}

static void finds_a_host_by_name_and_reports_one_without_address(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	char url[400], long_label[80], long_name[300];

	snprintf(url, sizeof(url), "http://localhost:%u/", w->peer.port);
	start_with(w, &c, url, 3000);
	TURN_UNTIL(w->loop, peer_has_request(&w->peer));
	peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, 0);

	memset(long_label, 'a', sizeof(long_label));
	snprintf(url, sizeof(url), "http://%.70s/", long_label);
	start_with(w, &c, url, 3000);
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, -ERR_UPSTREAM);
	assert_true(strlen(c.failure) > 3);
	memset(long_name, 'a', sizeof(long_name));
	snprintf(url, sizeof(url), "http://%.290s/", long_name);
	start_with(w, &c, url, 3000);
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, -ERR_UPSTREAM);
	start_with(w, &c, "not a url", 3000);
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, -ERR_UPSTREAM);
	buf_fini(&c.body);
}

static void speaks_nothing_but_http(void **state)
{
	static const char *const schemes[] = {"ftp", "gopher", "telnet", "file", "ws"};
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	char url[80];

	for (size_t i = 0; i < N_ELEMENTS(schemes); i++) {
		snprintf(url, sizeof(url), "%s://127.0.0.1:%u/x", schemes[i], w->peer.port);
		start_with(w, &c, url, 3000);
		TURN_UNTIL(w->loop, c.n_done);
		assert_int_equal(c.err, -ERR_UPSTREAM);
		assert_int_equal(c.n_headers, 0);
		assert_true(strlen(c.failure) > 3);
	}
	assert_false(peer_has_request(&w->peer));
	assert_int_equal(w->peer.n_accepted, 0);
	buf_fini(&c.body);
}

static void ignores_proxies_of_the_environment(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("all_proxy", "http://127.0.0.1:1", 1);
	start_and_accept(w, &c);
	peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, 0);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
	buf_fini(&c.body);
}

/* After a cancel nothing comes, and the peer sees the end of the connection within two turns. */
static void assert_cancelled(struct world *w, struct caller *c)
{
	unsigned n_headers = c->n_headers, n_pieces = c->n_pieces;

	assert_false(op_waiting(&c->call.op));
	memset(&c->call, 0xA5, sizeof(c->call)); /* the caller's storage may go at once */
	loop_turn(w->loop, false);
	loop_turn(w->loop, false);
	if (w->peer.fd >= 0)
		assert_true(peer_is_closed(&w->peer));
	turn_few(w->loop);
	assert_int_equal(c->n_done, 0);
	assert_int_equal(c->n_headers, n_headers);
	assert_int_equal(c->n_pieces, n_pieces);
	memset(&c->call, 0, sizeof(c->call));
	peer_hang_up(&w->peer);
}

static void cancels_at_every_moment(void **state)
{
	struct world *w = *state;
	struct caller c = {.n_done = 0};
	char url[80];
	size_t before = count_fds();

	/* before anything has happened, with an address and with a name */
	start(w, &c);
	op_cancel(&c.call.op);
	assert_cancelled(w, &c);
	snprintf(url, sizeof(url), "http://localhost:%u/", w->peer.port);
	start_with(w, &c, url, 3000);
	op_cancel(&c.call.op);
	assert_cancelled(w, &c);
	/* after each of the first turns */
	for (int turns = 1; turns < 6; turns++) {
		start(w, &c);
		for (int i = 0; i < turns; i++)
			loop_turn(w->loop, false);
		op_cancel(&c.call.op);
		peer_look(&w->peer);
		assert_cancelled(w, &c);
	}
	/* while the answer is awaited, and within it */
	start_and_accept(w, &c);
	op_cancel(&c.call.op);
	assert_cancelled(w, &c);
	start_and_accept(w, &c);
	peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\nContent-Le"));
	turn_few(w->loop);
	op_cancel(&c.call.op);
	assert_cancelled(w, &c);
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED));
	TURN_UNTIL(w->loop, c.n_headers);
	op_cancel(&c.call.op);
	assert_cancelled(w, &c);
	start_and_accept(w, &c);
	peer_send(&w->peer, STR(CHUNKED "3\r\nabc\r\n"));
	TURN_UNTIL(w->loop, c.n_pieces);
	op_cancel(&c.call.op);
	assert_cancelled(w, &c);
	turn_few(w->loop);
	peer_look(&w->peer);
	peer_hang_up(&w->peer);
	assert_int_equal(count_fds(), before);
	buf_fini(&c.body);
}

static void may_be_cancelled_from_its_own_callbacks(void **state)
{
	static const struct str answers[] = {
		CONST_STR(CHUNKED "3\r\nabc\r\n"),
		CONST_STR(CHUNKED "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
		CONST_STR("HTTP/1.1 500 x\r\nContent-Length: 3\r\n\r\nabc"),
		CONST_STR("HTTP/1.1 200 OK\r\n\r\nabc"),
	};
	struct world *w = *state;
	struct caller c = {.n_done = 0};

	for (size_t i = 0; i < N_ELEMENTS(answers); i++) {
		c.cancel_when = IN_HEADERS;
		start_and_accept(w, &c);
		peer_send(&w->peer, answers[i]);
		TURN_UNTIL(w->loop, c.n_headers);
		assert_int_equal(c.n_pieces, 0);
		assert_cancelled(w, &c);
		c.cancel_when = IN_BODY;
		start_and_accept(w, &c);
		peer_send(&w->peer, answers[i]);
		TURN_UNTIL(w->loop, c.n_pieces);
		assert_int_equal(c.n_pieces, 1);
		assert_cancelled(w, &c);
	}
	c.cancel_when = NEVER;
	start_and_accept(w, &c);
	peer_send(&w->peer, STR("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
	TURN_UNTIL(w->loop, c.n_done);
	assert_int_equal(c.err, 0);
	buf_fini(&c.body);
}

static void forgets_callers_when_it_is_freed(void **state)
{
	enum { N = 5 };
	struct world *w = *state;
	struct caller c[N] = {{.n_done = 0}};
	int fds[N - 1];

	for (int i = 0; i < N - 1; i++) {
		start(w, &c[i]);
		TURN_UNTIL(w->loop, (fds[i] = accept(w->peer.listen_fd, NULL, NULL)) >= 0);
	}
	start(w, &c[N - 1]); /* and one that has not got far */
	http_free(w->http);
	turn_few(w->loop);
	w->http = http_new(w->loop, w->resolver);
	for (int i = 0; i < N; i++) {
		assert_int_equal(c[i].n_done, 0);
		buf_fini(&c[i].body);
	}
	for (int i = 0; i < N - 1; i++)
		close(fds[i]);
}

static void carries_many_calls_at_once(void **state)
{
	enum { N = 60 };
	struct world *w = *state;
	struct caller *c = calloc(N, sizeof(*c));
	int fds[N];
	size_t before;

	for (int i = 0; i < N; i++)
		start(w, &c[i]);
	before = count_fds();
	for (int i = 0; i < N; i++) {
		TURN_UNTIL(w->loop, (fds[i] = accept(w->peer.listen_fd, NULL, NULL)) >= 0);
		assert_true(send(fds[i], CHUNKED, sizeof(CHUNKED) - 1, MSG_NOSIGNAL) > 0);
	}
	for (unsigned round = 1; round <= 5; round++) {
		for (int i = 0; i < N; i++)
			assert_true(send(fds[i], "4\r\nabcd\r\n", 9, MSG_NOSIGNAL) == 9);
		for (int i = 0; i < N; i++)
			TURN_UNTIL(w->loop, c[i].body.len == 4 * round);
	}
	for (int i = 0; i < N; i++) {
		if (i % 2)
			op_cancel(&c[i].call.op);
		else
			assert_true(send(fds[i], "0\r\n\r\n", 5, MSG_NOSIGNAL) == 5);
	}
	for (int i = 0; i < N; i += 2) {
		TURN_UNTIL(w->loop, c[i].n_done);
		assert_int_equal(c[i].err, 0);
	}
	for (int i = 0; i < N; i++) {
		assert_int_equal(c[i].n_done, i % 2 == 0);
		close(fds[i]);
		buf_fini(&c[i].body);
	}
	http_free(w->http);
	turn_few(w->loop);
	assert_true(count_fds() <= before);
	w->http = http_new(w->loop, w->resolver);
	free(c);
}

static void knows_a_valid_address(void **state)
{
	/* clang-format off */
	static const char *const good[] = {"http://localhost", "https://api.example.com/v1/chat/completions", "http://127.0.0.1:11434/v1?x=y",
					   "HTTPS://Example.COM", "http://[::1]:8000/"};
	/* clang-format on */
	/* clang-format off */
	static const char *const bad[] = {"", "localhost", "/v1/chat", "ftp://example.com/", "file:///etc/passwd", "http://",
					  "http://a b/", "javascript:alert(1)", "http://host:99999/", "gopher://x/", "//example.com/"};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(good); i++)
		if (!http_url_valid(good[i]))
			fail_msg("%s is valid", good[i]);
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		if (http_url_valid(bad[i]))
			fail_msg("%s is not valid", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(posts_what_it_is_told),
		T(reads_an_answer_however_it_is_cut),
		T(hands_on_each_piece_at_once),
		T(reads_statuses_and_retry_after),
		T(cuts_a_content_type_that_is_too_long),
		T(uses_a_connection_again_and_replaces_one_that_was_closed),
		T(sends_a_long_question_whole),
		T(reads_until_the_connection_closes),
		T(reports_answers_that_are_cut_or_no_answers_at_all),
		T(refuses_headers_without_end),
		T(reports_a_refused_connection),
		T(says_that_the_lack_of_descriptors_is_its_own),
		T(gives_up_connecting_in_time),
		T(finds_a_host_by_name_and_reports_one_without_address),
		T(speaks_nothing_but_http),
		T(ignores_proxies_of_the_environment),
		T(cancels_at_every_moment),
		T(may_be_cancelled_from_its_own_callbacks),
		T(forgets_callers_when_it_is_freed),
		T(carries_many_calls_at_once),
		cmocka_unit_test(knows_a_valid_address),
#undef T
	};

	one_look_up_at_a_time();
	return cmocka_run_group_tests(tests, quiet, NULL);
}
