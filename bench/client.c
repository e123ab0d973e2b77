/* A client's life: connect, send, read and check, then perhaps again. */
#include "bench/client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "bench/request.h"

enum { READ_BYTES = 65536, MAX_KEPT_BODY = 16 << 20 };

void client_init(struct client *c, struct load *load, size_t index)
{
	c->load = load;
	c->index = index;
	c->fd = -1;
	list_init(&c->wait.node);
	list_init(&c->deadline.node);
}

static void queue_add(struct queue *queue, struct waiting *w)
{
	w->due_us = clock_mono_us() + queue->wait_us;
	list_push(&queue->clients, &w->node);
}

static void disconnect(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->connected = false;
}

void client_fini(struct client *c)
{
	disconnect(c);
	list_remove(&c->wait.node);
	list_remove(&c->deadline.node);
	http_fini(&c->http);
	check_fini(&c->check);
	buf_fini(&c->out);
	buf_fini(&c->body);
}

/* Tells epoll what we want to hear of; adds the socket first if `op` says so. */
static void watch(struct client *c, int op)
{
	struct epoll_event event = {.data.ptr = c};

	event.events = (c->writing ? EPOLLOUT : 0U) | (c->reading ? EPOLLIN : 0U);
	if (epoll_ctl(c->load->epoll_fd, op, c->fd, &event) != 0)
		abort(); /* out of kernel memory */
}

/* ---- the end of a request ---- */

static bool goes_on(const struct load *load)
{
	return !load->stop && clock_mono_us() - load->began_us < load->options.duration_us;
}

static void finish(struct client *c, bool keep_connection, bool failed)
{
	struct load *load = c->load;

	c->busy = false;
	load->tally.n_open--;
	load->tally.n_tokens += c->check.text.n_tokens;
	load->tally.n_events += c->check.n_events;
	load->tally.n_pings += c->check.n_pings;
	list_remove(&c->deadline.node);
	list_remove(&c->wait.node);
	if (!keep_connection)
		disconnect(c);
	/* Through a queue even without a pause: one that is refused at once must not begin the next from inside. */
	if (goes_on(load))
		queue_add(failed ? &load->after_fault : &load->thinking, &c->wait);
}

#define FAIL(c, fault, fmt, ...)                                                                                                           \
	do {                                                                                                                               \
		tally_fault(&(c)->load->tally, fault, "request %llu: " fmt, (unsigned long long)(c)->number, ##__VA_ARGS__);               \
		finish(c, false, true);                                                                                                    \
	} while (0)

static void succeed(struct client *c, uint64_t now_us)
{
	struct load *load = c->load;
	const struct options *o = &load->options;
	uint64_t warm_us = load->began_us + o->warmup_us;

	load->tally.n_completed++;
	if (now_us >= warm_us && now_us < load->began_us + o->duration_us)
		load->tally.n_measured++;
	if (c->start_us >= warm_us)
		histogram_add(&load->tally.whole, now_us - c->start_us);
	if (o->n_cookies && c->http.cookie[0] && !load->visitors[c->index % o->n_cookies].cookie[0])
		memcpy(load->visitors[c->index % o->n_cookies].cookie, c->http.cookie, sizeof(c->http.cookie));
	finish(c, o->mode != MODE_STREAMS && c->http.keep_alive, false);
}

static bool must_leave(const struct client *c)
{
	const struct options *o = &c->load->options;
	size_t after = o->leave_up_to ? 1 + c->number % o->leave_up_to : o->leave_after;

	return after && c->check.n_events >= after;
}

static void leave(struct client *c)
{
	c->load->tally.n_left++;
	finish(c, false, false);
}

void client_abandon(struct client *c)
{
	if (!c->busy)
		return;
	c->load->tally.n_unfinished++;
	finish(c, false, false);
}

/* ---- the answer ---- */

static void on_body(void *arg, struct str piece)
{
	struct client *c = arg;

	if (c->load->options.mode == MODE_STREAMS && c->http.status == 200)
		check_feed(&c->check, piece);
	else if (c->body.len + piece.len <= MAX_KEPT_BODY)
		buf_add(&c->body, piece.p, piece.len);
}

static void note_texts(struct client *c, size_t n_before, uint64_t now_us)
{
	struct tally *t = &c->load->tally;
	bool warm = c->start_us >= c->load->began_us + c->load->options.warmup_us;

	for (size_t i = n_before; i < c->check.n_texts && warm; i++) {
		if (i == 0)
			histogram_add(&t->first, now_us - c->start_us);
		else
			histogram_add(&t->gap, now_us - c->last_text_us);
		c->last_text_us = now_us;
	}
}

/* The content of a plain answer is checked as it lies: parsing it would cost more than what is measured. */
static void end_plain(struct client *c, uint64_t now_us)
{
	const struct check_plan *plan = &c->load->options.plan;
	const char *content = memmem(c->body.p, c->body.len, "\"content\":\"", 11);
	struct str rest;
	size_t used;

	if (!content || (plan->kind == CHECK_LLMCHAT && !str_starts(buf_str(&c->body), STR("{\"code\":\"SUCCESS\"")))) {
		FAIL(c, FAULT_ENVELOPE, "no success: %.*s", (int)(c->body.len < 200 ? c->body.len : 200), c->body.p);
		return;
	}
	rest = str_skip(buf_str(&c->body), (size_t)(content - c->body.p) + 11);
	check_text_begin(&c->check.text);
	if (!check_text_step(&c->check.text, plan, rest, &used) || !check_text_whole(&c->check.text, plan)) {
		FAIL(c, FAULT_TEXT, "other text than expected at token %zu: %.*s", c->check.text.n_tokens,
		     (int)(rest.len < 200 ? rest.len : 200), rest.p);
		return;
	}
	c->check.n_events = 1;
	succeed(c, now_us);
}

static void end_wrong(struct client *c, uint64_t now_us)
{
	const struct wrong *wrong = &wrongs[c->number % n_wrongs];
	const char *why = NULL;
	struct json *j = NULL;

	if (json_parse(buf_str(&c->body), &JSON_CAPS_PROVIDER, &j, &why) != 0 || json_kind(json_get(j, "code")) != JSON_STRING ||
	    json_as_str(json_get(j, "message")).len == 0 || json_kind(json_get(j, "timestamp")) != JSON_STRING ||
	    json_kind(json_get(j, "requestId")) != JSON_STRING)
		FAIL(c, FAULT_ENVELOPE, "%s: %d without an error's envelope: %.*s", wrong->what, c->http.status,
		     (int)(c->body.len < 200 ? c->body.len : 200), c->body.p ? c->body.p : "");
	else
		succeed(c, now_us);
	json_free(j);
}

static void end_get(struct client *c, uint64_t now_us)
{
	const char *expected = c->load->options.expected;

	c->check.n_events = 1;
	if (memmem(c->body.p, c->body.len, expected, strlen(expected)))
		succeed(c, now_us);
	else
		FAIL(c, FAULT_TEXT, "without \"%s\": %.*s", expected, (int)(c->body.len < 200 ? c->body.len : 200),
		     c->body.p ? c->body.p : "");
}

static int expected_status(const struct client *c)
{
	return c->load->options.mode == MODE_WRONG ? wrongs[c->number % n_wrongs].status : 200;
}

static void end_answer(struct client *c, uint64_t now_us)
{
	static const enum fault faults[] = {[CHECK_ORDER] = FAULT_ORDER, [CHECK_TEXT] = FAULT_TEXT, [CHECK_ERROR_EVENT] = FAULT_ERROR};

	c->load->tally.n_of_status[c->http.status]++;
	if (c->http.status != expected_status(c)) {
		FAIL(c, FAULT_STATUS, "%s%sHTTP %d: %.*s", c->load->options.mode == MODE_WRONG ? wrongs[c->number % n_wrongs].what : "",
		     c->load->options.mode == MODE_WRONG ? ": " : "", c->http.status, (int)(c->body.len < 200 ? c->body.len : 200),
		     c->body.p ? c->body.p : "");
	} else if (c->load->options.mode == MODE_PLAIN) {
		end_plain(c, now_us);
	} else if (c->load->options.mode == MODE_GET) {
		end_get(c, now_us);
	} else if (c->load->options.mode == MODE_WRONG) {
		end_wrong(c, now_us);
	} else {
		check_end(&c->check);
		if (c->check.fault)
			FAIL(c, faults[c->check.fault], "%s", c->check.detail);
		else
			succeed(c, now_us);
	}
}

/* A slow reader lets go of its socket for a while. */
static void pause_reading(struct client *c)
{
	c->reading = false;
	watch(c, EPOLL_CTL_MOD);
	queue_add(&c->load->paused, &c->wait);
}

static size_t may_read(const struct client *c)
{
	const struct options *o = &c->load->options;
	size_t most = READ_BYTES;

	if (o->bytes_per_s)
		most = o->bytes_per_s / (SECOND_US / TRICKLE_US) + 1;
	if (o->stop_after_bytes && !c->stopped_once)
		most = o->stop_after_bytes - c->n_read;
	return most < READ_BYTES ? most : READ_BYTES;
}

static void read_some(struct client *c)
{
	static char buffer[READ_BYTES];
	const struct options *o = &c->load->options;
	size_t n_texts = c->check.n_texts, used;
	ssize_t n = recv(c->fd, buffer, may_read(c), 0);
	uint64_t now_us = clock_mono_us();

	if (n < 0) {
		if (errno != EAGAIN && errno != EINTR)
			FAIL(c, FAULT_RESET, "%s after %zu bytes and %zu tokens", strerror(errno), c->n_read, c->check.text.n_tokens);
		return;
	}
	c->load->tally.n_bytes += (uint64_t)n;
	c->n_read += (size_t)n;
	if (n == 0)
		http_eof(&c->http);
	used = http_feed(&c->http, buffer, (size_t)n, on_body, c);
	note_texts(c, n_texts, now_us);
	if (c->http.state == HTTP_BROKEN)
		FAIL(c, FAULT_HTTP, "%s, after %zu bytes and %zu tokens", c->http.why, c->n_read, c->check.text.n_tokens);
	else if (c->check.fault)
		end_answer(c, now_us);
	else if (must_leave(c))
		leave(c);
	else if (c->http.state == HTTP_DONE && used < (size_t)n)
		FAIL(c, FAULT_HTTP, "%zu bytes after the answer's end", (size_t)n - used);
	else if (c->http.state == HTTP_DONE)
		end_answer(c, now_us);
	else if (o->stop_after_bytes && !c->stopped_once && c->n_read >= o->stop_after_bytes) {
		c->stopped_once = true;
		pause_reading(c);
	} else if (o->bytes_per_s)
		pause_reading(c);
}

/* ---- the request ---- */

static void write_some(struct client *c)
{
	ssize_t n = send(c->fd, c->out.p + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN && errno != ENOTCONN && errno != EINTR) {
		/* Refused before the body was through (413): the answer may be there all the same. */
		if (c->connected && c->out_at > 0) {
			c->writing = false;
			watch(c, EPOLL_CTL_MOD);
			return;
		}
		FAIL(c, FAULT_CONNECT, "%s", strerror(errno));
		return;
	}
	if (n > 0) {
		if (!c->connected) {
			c->connected = true;
			histogram_add(&c->load->tally.connect, clock_mono_us() - c->start_us);
		}
		c->out_at += (size_t)n;
	}
	if (c->writing != (c->out_at < c->out.len)) {
		c->writing = c->out_at < c->out.len;
		watch(c, EPOLL_CTL_MOD);
	}
}

void client_ready(struct client *c, uint32_t events)
{
	/* nginx closes idle connections when it likes. */
	if (!c->busy) {
		disconnect(c);
		return;
	}
	/* An error shows as all of them; reading or writing then says which. */
	if (c->writing && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		write_some(c);
	if (c->busy && c->reading && events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		read_some(c);
}

static bool connect_to(struct client *c)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(c->load->options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int yes = 1, bytes = (int)c->load->options.receive_buffer;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (bytes)
		setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	c->load->tally.n_connections++;
	return connect(c->fd, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS;
}

void client_start(struct client *c)
{
	struct load *load = c->load;
	const struct options *o = &load->options;
	bool fresh = c->fd < 0;

	c->busy = true;
	c->stopped_once = false;
	c->n_read = 0;
	c->number = load->tally.n_asked++;
	if (++load->tally.n_open > load->tally.peak_open)
		load->tally.peak_open = load->tally.n_open;
	http_begin(&c->http);
	check_begin(&c->check, &o->plan);
	c->body.len = c->out.len = c->out_at = 0;
	if (o->mode == MODE_WRONG)
		request_add_wrong(&c->out, o, c->number, &wrongs[c->number % n_wrongs]);
	else
		request_add(&c->out, o, c->number, o->n_cookies ? load->visitors[c->index % o->n_cookies].cookie : "");
	c->start_us = clock_mono_us();
	queue_add(&load->deadlines, &c->deadline);
	if (fresh && !connect_to(c)) {
		FAIL(c, FAULT_CONNECT, "%s", strerror(errno));
		return;
	}
	c->reading = true;
	c->writing = fresh;
	if (fresh)
		watch(c, EPOLL_CTL_ADD);
	write_some(c); /* on loopback the connection mostly stands already */
}

/* ---- waiting ---- */

static struct client *take_due(struct queue *queue, size_t offset, uint64_t now_us)
{
	struct list *first = queue->clients.next;

	if (list_empty(&queue->clients) || CONTAINER_OF(first, struct waiting, node)->due_us > now_us)
		return NULL;
	list_remove(first);
	return (struct client *)(void *)((char *)CONTAINER_OF(first, struct waiting, node) - offset);
}

static uint64_t next_due(const struct queue *queue)
{
	return list_empty(&queue->clients) ? UINT64_MAX : CONTAINER_OF(queue->clients.next, struct waiting, node)->due_us;
}

uint64_t clients_go_on(struct load *load)
{
	struct queue *const queues[] = {&load->thinking, &load->after_fault, &load->paused, &load->deadlines};
	uint64_t now_us = clock_mono_us(), due_us = UINT64_MAX;
	struct client *c;

	for (size_t i = 0; i < 2; i++)
		while ((c = take_due(queues[i], offsetof(struct client, wait), now_us)))
			if (goes_on(load))
				client_start(c);
	while ((c = take_due(&load->paused, offsetof(struct client, wait), now_us))) {
		c->reading = true;
		watch(c, EPOLL_CTL_MOD);
	}
	while ((c = take_due(&load->deadlines, offsetof(struct client, deadline), now_us)))
		FAIL(c, FAULT_TIMEOUT, "not over after %.1f s; %zu bytes, %zu events, %zu tokens came",
		     (double)load->options.timeout_us / SECOND_US, c->n_read, c->check.n_events, c->check.text.n_tokens);
	for (size_t i = 0; i < N_ELEMENTS(queues); i++)
		if (next_due(queues[i]) < due_us)
			due_us = next_due(queues[i]);
	return due_us;
}
