/* The list of stop calls on their way. */
#include "llm/farewell.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

enum { MAX_FAREWELLS = 64, CONNECT_MS = 3000, DEADLINE_MS = 5000 };

struct farewells {
	struct loop *loop;
	struct http *http;
	struct list calls;
	size_t n;
};

struct farewell {
	struct list node; /* in all->calls */
	struct farewells *all;
	const struct provider *provider;
	struct http_call call;
	struct timer timer;
};

static void end(struct farewell *f)
{
	op_cancel(&f->call.op);
	timer_fini(&f->timer);
	list_remove(&f->node);
	f->all->n--;
	free(f);
}

static void on_done(struct op *op)
{
	struct farewell *f = CONTAINER_OF(op, struct farewell, call.op);

	if (op->err || f->call.status < 200 || f->call.status > 299)
		log_info(NULL, "stop_call_failed", "provider", f->provider->name, "status", f->call.status);
	end(f);
}

static void on_deadline(void *arg)
{
	struct farewell *f = arg;

	log_info(NULL, "stop_call_failed", "provider", f->provider->name, "status", 0);
	end(f);
}

static void on_headers(struct http_call *call)
{
	(void)call;
}

static void on_body(struct http_call *call, struct str bytes)
{
	(void)call;
	(void)bytes;
}

void farewell_say(struct farewells *all, const struct provider *provider, const struct llm_stop *stop)
{
	struct arena arena = {0};
	struct http_post post = {0};
	struct farewell *f;

	if (!provider->stop || !*stop->task)
		return;
	if (all->n == MAX_FAREWELLS) {
		log_warn(NULL, "stop_call_left_out", "provider", provider->name, "limit", (int)MAX_FAREWELLS);
		return;
	}
	if (provider->stop(stop, &arena, &post)) {
		post.connect_ms = CONNECT_MS;
		f = mem_alloc(sizeof(*f));
		f->all = all;
		f->provider = provider;
		f->call.op.done = on_done;
		f->call.on_headers = on_headers;
		f->call.on_body = on_body;
		list_push(&all->calls, &f->node);
		all->n++;
		timer_init(&f->timer, all->loop, on_deadline, f);
		timer_start(&f->timer, DEADLINE_MS);
		http_post_start(all->http, &f->call, &post);
	}
	arena_fini(&arena);
}

struct farewells *farewells_new(struct loop *loop, struct http *http)
{
	struct farewells *all = mem_alloc(sizeof(*all));

	all->loop = loop;
	all->http = http;
	list_init(&all->calls);
	return all;
}

void farewells_free(struct farewells *all)
{
	while (!list_empty(&all->calls))
		end(CONTAINER_OF(all->calls.next, struct farewell, node)); /* NOLINT(clang-analyzer-unix.Malloc): intrusive lists, see base/list.h */
	free(all);
}
