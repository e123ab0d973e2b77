/* The connection's life: resting, resolving, connecting, greeting (password, database), ready; and its commands, in a ring. */
#include "cache/redis.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cache/redis_address.h"
#include "cache/redis_errors.h"
#include "cache/resp.h"
#include "net/resolver.h"

enum {
	RETRY_BASE_MS = 50,
	RETRY_MAX_MS = 3000,
	CONNECT_TIMEOUT_MS = 1000, /* at least: a far host takes longer to connect to than to ask */
	STEADY_US = 1000000,       /* a connection that has lived so long was a good one: back-off starts anew */
	REFUSED_US = 500000,       /* a Redis that takes nothing is left alone for so long */
	READ_BYTES = 16384,
	MAX_READS = 16, /* of one turn: others want theirs */
	KEEP_OUT_BYTES = 64 * 1024,
	NO_PLACE = UINT32_MAX,
	WHY_SIZE = 128,
};

/* What was said in the log last: a line is written when it changes. */
enum said { SAID_NOTHING, SAID_READY, SAID_AWAY, SAID_REFUSES };

struct waiting {
	struct redis_command *c; /* borrowed; NULL: cancelled, the answer is still to come */
	uint64_t deadline_us;
};

struct redis {
	struct loop *loop;         /* borrowed */
	struct resolver *resolver; /* borrowed */
	const struct conf *conf;   /* borrowed */
	char name[32];
	enum redis_state state;
	enum said said;
	struct resolve resolve;
	const char *next_address; /* in resolve.addresses; NULL: no more */
	int fd;
	struct watch watch;
	struct resp *resp; /* owned, while connected */
	struct buf out;    /* not yet taken by the socket */
	struct defer flush;
	const char *greetings[4]; /* what was asked and is not yet answered */
	size_t n_greetings, n_greeted;
	struct waiting ring[REDIS_MAX_IN_FLIGHT];
	uint32_t first, n;
	struct list failed; /* told at the end of the turn */
	struct defer tell;
	struct timer rest, deadline;
	bool deadline_set;
	struct backoff backoff;
	uint64_t ready_since_us, refused_until_us;
	struct redis_stats stats;
};

static void connect_next(struct redis *r);

static uint64_t timeout_us(const struct redis *r)
{
	return (uint64_t)r->conf->redis_command_timeout_ms * 1000;
}

static bool is_path(const struct redis *r)
{
	return r->conf->redis_host[0] == '/';
}

/* ---- those that wait ---- */

static void tell(struct defer *d)
{
	struct redis *r = CONTAINER_OF(d, struct redis, tell);
	struct list batch, *node;

	list_init(&batch);
	list_move_all(&batch, &r->failed);
	while ((node = list_pop(&batch))) {
		struct redis_command *c = CONTAINER_OF(node, struct redis_command, node);

		op_finish(&c->op, -ERR_REDIS_AWAY);
	}
}

static void fail(struct redis *r, struct redis_command *c)
{
	r->stats.n_failed++;
	c->place = NO_PLACE;
	list_push(&r->failed, &c->node);
	loop_defer(r->loop, &r->tell, tell);
}

static void cancel(struct op *op)
{
	struct redis_command *c = CONTAINER_OF(op, struct redis_command, op);

	if (c->place == NO_PLACE)
		list_remove(&c->node);
	else
		c->redis->ring[c->place].c = NULL;
}

static struct waiting take_first(struct redis *r)
{
	struct waiting w = r->ring[r->first];

	r->first = (r->first + 1) % REDIS_MAX_IN_FLIGHT;
	r->n--;
	return w;
}

/* ---- losing the connection ---- */

static void close_socket(struct redis *r)
{
	if (r->fd < 0)
		return;
	watch_fini(&r->watch);
	close(r->fd);
	r->fd = -1;
}

static uint32_t next_wait_ms(struct redis *r)
{
	if (r->backoff.n_failures < (uint64_t)r->conf->redis_max_retries)
		return backoff_next_ms(&r->backoff);
	return RETRY_MAX_MS - crypto_random_below(RETRY_MAX_MS / 4);
}

/* The connection, or the attempt to have one, is over: all that wait are told, and it is tried again later. */
static void lose(struct redis *r, const char *why)
{
	uint32_t wait_ms;

	if (r->state == REDIS_READY && clock_mono_us() - r->ready_since_us >= STEADY_US)
		backoff_reset(&r->backoff);
	close_socket(r);
	resp_free(r->resp);
	r->resp = NULL;
	buf_fini(&r->out);
	timer_stop(&r->deadline);
	r->deadline_set = false;
	while (r->n > 0) {
		struct waiting w = take_first(r);

		if (w.c)
			fail(r, w.c);
	}
	r->state = REDIS_RESTING;
	r->refused_until_us = 0;
	wait_ms = next_wait_ms(r);
	if (r->said != SAID_AWAY)
		log_warn(NULL, "redis_unreachable", "host", r->conf->redis_host, "port", r->conf->redis_port, "why", why, "retry_ms",
			 wait_ms);
	r->said = SAID_AWAY;
	timer_start(&r->rest, wait_ms);
}

/* ---- sending ---- */

static void flush(struct defer *d)
{
	struct redis *r = CONTAINER_OF(d, struct redis, flush);
	char why[WHY_SIZE];
	ssize_t n = 0;

	if (r->fd < 0 || r->state < REDIS_GREETING)
		return;
	while (r->out.len > 0 && (n = send(r->fd, r->out.p, r->out.len, MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
		buf_drop(&r->out, (size_t)n);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		snprintf(why, sizeof(why), "sending: %s", strerrordesc_np(errno));
		lose(r, why);
		return;
	}
	if (r->out.len == 0 && r->out.size > KEEP_OUT_BYTES)
		buf_fini(&r->out);
	watch_set(&r->watch, r->out.len ? WATCH_READ | WATCH_WRITE : WATCH_READ);
}

/* ---- replies ---- */

static void become_ready(struct redis *r)
{
	r->state = REDIS_READY;
	r->ready_since_us = clock_mono_us();
	timer_stop(&r->deadline);
	r->deadline_set = false;
	if (r->said != SAID_READY)
		log_info(NULL, "redis_ready", "host", r->conf->redis_host, "port", r->conf->redis_port, "db", r->conf->redis_db);
	r->said = SAID_READY;
}

/* Answers to the password, the name, the database and the ping. The texts of refusals are not shown: they can quote what was sent. */
static void take_greeting(struct redis *r, const struct resp_reply *reply)
{
	const char *asked = r->greetings[r->n_greeted++];
	char why[WHY_SIZE];

	if (reply->value.type == RESP_STATUS) {
		if (r->n_greeted == r->n_greetings)
			become_ready(r);
		return;
	}
	if (reply->value.type == RESP_ERROR) {
		struct str code = resp_error_code(reply);

		if (strcmp(asked, "CLIENT") == 0) /* a name is nice to have; whatever is really wrong the ping is told too */
			return;
		/* Whoever cannot save can still count; whether it takes what is written shows itself. */
		if (strcmp(asked, "PING") == 0 && str_eq(code, STR("MISCONF"))) {
			become_ready(r);
			return;
		}
		snprintf(why, sizeof(why), "%s was refused: %.*s", asked, STR_ARG(code));
	} else {
		snprintf(why, sizeof(why), "the answer to %s is none that Redis would give", asked);
	}
	lose(r, why);
}

static void note_refusal(struct redis *r, const struct resp_reply *reply)
{
	r->refused_until_us = clock_mono_us() + REFUSED_US;
	if (r->said != SAID_REFUSES)
		log_warn(NULL, "redis_refuses", "host", r->conf->redis_host, "code", resp_error_code(reply));
	r->said = SAID_REFUSES;
}

static void note_success(struct redis *r, const struct redis_command *c)
{
	if (r->said != SAID_REFUSES || !c->writes)
		return;
	r->refused_until_us = 0;
	log_info(NULL, "redis_ready", "host", r->conf->redis_host, "port", r->conf->redis_port, "db", r->conf->redis_db);
	r->said = SAID_READY;
}

static void take_reply(struct redis *r, const struct resp_reply *reply)
{
	struct waiting w = take_first(r);
	enum redis_trouble trouble = redis_trouble(reply);
	char why[WHY_SIZE] = "";
	int err = 0;

	if (trouble == REFUSES)
		note_refusal(r, reply);
	if (trouble == USELESS)
		snprintf(why, sizeof(why), "it answers %.*s", STR_ARG(resp_error_code(reply)));
	if (w.c) {
		r->stats.last_latency_us = clock_mono_us() + timeout_us(r) - w.deadline_us;
		if (reply->value.type == RESP_ERROR)
			err = trouble == NO_TROUBLE ? -ERR_INTERNAL : -ERR_REDIS_AWAY;
		else
			note_success(r, w.c);
		r->stats.n_failed += err != 0;
		w.c->reply = reply;
		op_finish(&w.c->op, err);
	}
	if (trouble == USELESS)
		lose(r, why);
}

/* Whatever is there of replies. False if the connection is gone. */
static bool take_replies(struct redis *r)
{
	const struct resp_reply *reply;
	int got;

	while ((got = resp_next(r->resp, &reply)) == 1) {
		if (r->state == REDIS_GREETING) {
			take_greeting(r, reply);
		} else if (r->n > 0) {
			take_reply(r, reply);
		} else {
			char why[WHY_SIZE];

			/* Too many clients, for instance. */
			snprintf(why, sizeof(why), "it answered what nobody asked: %.*s", STR_ARG(resp_error_code(reply)));
			lose(r, why);
		}
		if (r->fd < 0)
			return false;
	}
	if (got < 0)
		lose(r, "what it sends is not Redis' protocol");
	return got == 0;
}

static void receive(struct redis *r)
{
	char bytes[READ_BYTES], why[WHY_SIZE];

	for (int i = 0; i < MAX_READS; i++) {
		ssize_t n = recv(r->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			snprintf(why, sizeof(why), "%s", n == 0 ? "it closed the connection" : strerrordesc_np(errno));
			lose(r, why);
			return;
		}
		if (resp_feed(r->resp, bytes, (size_t)n) != 0) {
			lose(r, "a reply is too long");
			return;
		}
		if (!take_replies(r) || (size_t)n < sizeof(bytes))
			return;
	}
}

/* ---- deadlines ---- */

static void set_deadline(struct redis *r, uint64_t at_us)
{
	uint64_t now_us = clock_mono_us();

	r->deadline_set = true;
	timer_start(&r->deadline, at_us > now_us ? (at_us - now_us) / 1000 + 1 : 1);
}

static void on_deadline(void *arg)
{
	struct redis *r = arg;
	char why[WHY_SIZE];

	r->deadline_set = false;
	if (r->state == REDIS_CONNECTING || r->state == REDIS_GREETING) {
		lose(r, r->state == REDIS_GREETING ? "no answer after the connect" : "no connection in time");
		return;
	}
	/* If it was us who were late, the answers are there. */
	if (r->n > 0 && r->ring[r->first].deadline_us <= clock_mono_us() && r->fd >= 0)
		receive(r);
	if (r->n == 0 || r->fd < 0 || r->deadline_set)
		return;
	if (r->ring[r->first].deadline_us > clock_mono_us()) {
		set_deadline(r, r->ring[r->first].deadline_us);
		return;
	}
	snprintf(why, sizeof(why), "no answer within %lld ms", (long long)r->conf->redis_command_timeout_ms);
	lose(r, why);
}

/* ---- connecting ---- */

static void greet(struct redis *r, const char *what, const struct str *args, size_t n_args)
{
	resp_put_command(&r->out, args, n_args);
	r->greetings[r->n_greetings++] = what;
}

static void start_greeting(struct redis *r)
{
	char number[24];
	int n = snprintf(number, sizeof(number), "%lld", (long long)r->conf->redis_db);

	r->state = REDIS_GREETING;
	r->stats.n_connects++;
	r->n_greetings = r->n_greeted = 0;
	r->resp = resp_new();
	if (*r->conf->redis_password)
		greet(r, "AUTH", (const struct str[]){STR("AUTH"), str_from(r->conf->redis_password)}, 2);
	greet(r, "CLIENT", (const struct str[]){STR("CLIENT"), STR("SETNAME"), str_from(r->name)}, 3);
	if (r->conf->redis_db != 0)
		greet(r, "SELECT", (const struct str[]){STR("SELECT"), {number, (size_t)n}}, 2);
	greet(r, "PING", (const struct str[]){STR("PING")}, 1);
	flush(&r->flush);
}

static void on_watch(void *arg, int events)
{
	struct redis *r = arg;
	int err = 0;
	socklen_t len = sizeof(err);

	if (r->state == REDIS_CONNECTING) {
		if (getsockopt(r->fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
			err = errno;
		if (err == 0) {
			start_greeting(r);
			return;
		}
		close_socket(r);
		if (r->next_address)
			connect_next(r);
		else
			lose(r, strerrordesc_np(err));
		return;
	}
	if (events & WATCH_READ)
		receive(r);
	if (events & WATCH_WRITE && r->fd >= 0)
		flush(&r->flush);
}

static void connect_to(struct redis *r, const struct sockaddr *address, socklen_t len)
{
	int err = 0, on = 1;

	r->state = REDIS_CONNECTING;
	r->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd < 0) {
		lose(r, strerrordesc_np(errno));
		return;
	}
	if (address->sa_family != AF_UNIX) {
		(void)setsockopt(r->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void)setsockopt(r->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	watch_init(&r->watch, r->loop, r->fd, on_watch, r);
	if (connect(r->fd, address, len) != 0 && errno != EINPROGRESS)
		err = errno;
	if (err == 0) {
		watch_set(&r->watch, WATCH_WRITE);
		return;
	}
	close_socket(r);
	if (r->next_address)
		connect_next(r);
	else
		lose(r, strerrordesc_np(err));
}

static void connect_next(struct redis *r)
{
	struct sockaddr_storage address = {0};
	socklen_t len = redis_address_take(&r->next_address, (uint16_t)r->conf->redis_port, &address);
	uint64_t patience_us = timeout_us(r) > CONNECT_TIMEOUT_MS * 1000ULL ? timeout_us(r) : CONNECT_TIMEOUT_MS * 1000ULL;

	if (len == 0) {
		lose(r, "its address is none");
		return;
	}
	set_deadline(r, clock_mono_us() + patience_us);
	connect_to(r, (const struct sockaddr *)&address, len);
}

static void connect_to_path(struct redis *r)
{
	struct sockaddr_storage address;
	socklen_t len = redis_address_path(r->conf->redis_host, &address);

	if (len == 0) {
		lose(r, "the path of its socket is too long");
		return;
	}
	r->next_address = NULL;
	set_deadline(r, clock_mono_us() + CONNECT_TIMEOUT_MS * 1000ULL);
	connect_to(r, (const struct sockaddr *)&address, len);
}

static void on_resolved(struct op *op)
{
	struct redis *r = CONTAINER_OF(op, struct redis, resolve.op);

	if (op->err) {
		lose(r, "its name has no address");
		return;
	}
	r->next_address = r->resolve.addresses;
	connect_next(r);
}

static void resolve(void *arg)
{
	struct redis *r = arg;

	if (is_path(r)) {
		connect_to_path(r);
		return;
	}
	r->state = REDIS_RESOLVING;
	r->resolve.op = (struct op){.done = on_resolved};
	resolve_start(r->resolver, &r->resolve, str_from(r->conf->redis_host));
}

/* ---- the face ---- */

struct redis *redis_new(struct loop *loop, struct resolver *resolver, const struct conf *conf, int slot)
{
	struct redis *r = mem_alloc(sizeof(*r));

	r->loop = loop;
	r->resolver = resolver;
	r->conf = conf;
	r->fd = -1;
	r->backoff = (struct backoff){.base_ms = RETRY_BASE_MS, .max_ms = RETRY_MAX_MS};
	snprintf(r->name, sizeof(r->name), "llmchat-%d", slot);
	list_init(&r->failed);
	list_init(&r->tell.node);
	list_init(&r->flush.node);
	timer_init(&r->rest, loop, resolve, r);
	timer_init(&r->deadline, loop, on_deadline, r);
	if (*conf->redis_host) {
		r->state = REDIS_RESTING;
		timer_start(&r->rest, 0);
	} else {
		log_info(NULL, "redis_off", "because", "REDIS_HOST is empty");
	}
	return r;
}

void redis_free(struct redis *r)
{
	if (!r)
		return;
	op_cancel(&r->resolve.op);
	close_socket(r);
	resp_free(r->resp);
	buf_fini(&r->out);
	timer_fini(&r->rest);
	timer_fini(&r->deadline);
	defer_cancel(&r->flush);
	defer_cancel(&r->tell);
	free(r);
}

bool redis_ready(const struct redis *r)
{
	return r->state == REDIS_READY && (r->refused_until_us == 0 || clock_mono_us() >= r->refused_until_us);
}

bool redis_usable(const struct redis *r)
{
	return r->state == REDIS_OFF || (r->state == REDIS_READY && r->said == SAID_READY);
}

bool redis_settled(const struct redis *r)
{
	return r->state == REDIS_OFF || r->said != SAID_NOTHING;
}

void redis_start(struct redis *r, struct redis_command *c, const struct str *args, size_t n_args)
{
	uint64_t now_us = clock_mono_us();

	c->redis = r;
	c->reply = NULL;
	c->op.cancel = cancel;
	c->op.deadline_us = now_us + timeout_us(r);
	list_init(&c->node);
	r->stats.n_commands++;
	if (!redis_ready(r) || r->n == REDIS_MAX_IN_FLIGHT) {
		fail(r, c);
		return;
	}
	c->place = (r->first + r->n++) % REDIS_MAX_IN_FLIGHT;
	r->ring[c->place] = (struct waiting){c, c->op.deadline_us};
	resp_put_command(&r->out, args, n_args);
	loop_defer(r->loop, &r->flush, flush);
	if (!r->deadline_set)
		set_deadline(r, c->op.deadline_us);
}

struct redis_stats redis_stats(const struct redis *r)
{
	struct redis_stats stats = r->stats;

	stats.state = r->state;
	stats.in_flight = r->n;
	stats.ready_since_us = r->ready_since_us;
	stats.refuses = r->said == SAID_REFUSES;
	return stats;
}
