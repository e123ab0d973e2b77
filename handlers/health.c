/* Health: lives, can serve, streams unbuffered. None of them asks anybody else. */
#include "handlers/health.h"

#include "base/clock.h"
#include "base/conf.h"
#include "chat/agents.h"
#include "config.h"
#include "db/pool.h"
#include "handlers/request.h"

enum { STREAM_EVENTS = 5, STREAM_PERIOD_MS = 200 };

static enum flow_next reply_health(struct request *r, const char *status, int http_status)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	char time[CLOCK_ISO_SIZE];

	clock_iso(clock_real_us(), time);
	json_open(&w, '{');
	json_add_cstr(&w, "status", status);
	json_add_cstr(&w, "timestamp", time);
	json_key(&w, "uptime");
	json_put_number(&w, (double)(clock_mono_us() - r->app->began_us) / 1e6);
	json_add_cstr(&w, "version", PACKAGE_VERSION);
	json_add_cstr(&w, "environment", r->app->conf->environment);
	json_close(&w, '}');
	request_reply_bare(r, http_status, buf_str(&b));
	buf_fini(&b);
	return FLOW_DONE;
}

static enum flow_next health_start(struct request *r)
{
	return reply_health(r, "ok", 200);
}

static enum flow_next ready_start(struct request *r)
{
	if (r->app->draining)
		return reply_health(r, "draining", 503);
	if (!pool_stats(r->app->pool).reachable)
		return reply_health(r, "database_unavailable", 503);
	if (!agents_loaded(r->app->agents))
		return reply_health(r, "starting", 503);
	return reply_health(r, "ready", 200);
}

struct probe {
	int n_sent;
	uint64_t due_us;
};

static void on_due(void *arg)
{
	flow_wake(arg);
}

static enum flow_next send_event(struct request *r)
{
	struct probe *probe = r->state;
	struct buf b = {0};
	char time[CLOCK_ISO_SIZE];

	clock_iso(clock_real_us(), time);
	buf_printf(&b, "id: %d\nevent: probe\ndata: {\"n\":%d,\"timestamp\":\"%s\"}\n\n", probe->n_sent, probe->n_sent, time);
	request_send(r, buf_str(&b));
	buf_fini(&b);
	if (++probe->n_sent == STREAM_EVENTS)
		return request_end_stream(r);
	probe->due_us = clock_mono_us() + (uint64_t)STREAM_PERIOD_MS * 1000;
	timer_start(&r->timer, STREAM_PERIOD_MS);
	return FLOW_WAIT;
}

static enum flow_next stream_start(struct request *r)
{
	r->state = arena_alloc(&r->arena, sizeof(struct probe));
	timer_init(&r->timer, r->app->loop, on_due, r);
	request_begin_stream(r);
	return send_event(r);
}

static enum flow_next stream_finish(struct request *r)
{
	const struct probe *probe = r->state;
	uint64_t now_us = clock_mono_us();

	if (now_us >= probe->due_us)
		return send_event(r);
	timer_start(&r->timer, (probe->due_us - now_us) / 1000 + 1); /* woken by the socket */
	return FLOW_WAIT;
}

const struct step health_steps[] = {{"health", health_start, NULL}, {NULL, NULL, NULL}};
const struct step health_ready_steps[] = {{"ready", ready_start, NULL}, {NULL, NULL, NULL}};
const struct step health_stream_steps[] = {{"probe_stream", stream_start, stream_finish}, {NULL, NULL, NULL}};
