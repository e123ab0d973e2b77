/* /health/detailed: what the responders of this host say of themselves, PostgreSQL and Redis, and the agents' breakers. Read from what
 * they share: it asks nobody, so it answers at once whatever is wrong. */
#include "base/breaker.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/siblings.h"
#include "cache/cache.h"
#include "cache/redis.h"
#include "chat/agents.h"
#include "config.h"
#include "db/pool.h"
#include "handlers/health.h"
#include "handlers/host.h"
#include "handlers/request.h"

static uint64_t sum(const struct app *app, enum process_count what)
{
	return process_get(app->process->page, what) + siblings_sum(app->siblings, what);
}

static void add_sum(struct json_writer *w, const char *key, const struct app *app, enum process_count what)
{
	json_add_int(w, key, (int64_t)sum(app, what));
}

static void add_latency(struct json_writer *w, uint64_t latency_us)
{
	json_key(w, "latencyMs");
	json_put_number(w, (double)latency_us / 1000);
}

static void put_database(struct json_writer *w, const struct app *app)
{
	struct pool_stats stats = pool_stats(app->pool);

	json_key(w, "database");
	json_open(w, '{');
	json_add_cstr(w, "status", stats.reachable ? "ok" : "unavailable");
	add_sum(w, "active", app, COUNT_DB_ACTIVE);
	add_sum(w, "idle", app, COUNT_DB_IDLE);
	add_sum(w, "waiting", app, COUNT_DB_WAITING);
	add_sum(w, "max", app, COUNT_DB_MAX);
	add_latency(w, stats.last_latency_us);
	json_close(w, '}');
}

static uint64_t n_without_redis(const struct app *app)
{
	return sum(app, COUNT_REDIS_AWAY);
}

static void put_redis(struct json_writer *w, const struct app *app)
{
	struct redis_stats stats = redis_stats(app->redis);
	const char *status = n_without_redis(app) > 0 ? "unavailable" : "ok";

	if (stats.state == REDIS_OFF)
		status = "off";
	else if (stats.refuses)
		status = "refuses";
	json_key(w, "redis");
	json_open(w, '{');
	json_add_cstr(w, "status", status);
	add_latency(w, stats.last_latency_us);
	json_close(w, '}');
}

static void put_hits(struct json_writer *w, uint64_t hits, uint64_t misses)
{
	json_add_int(w, "hits", (int64_t)hits);
	json_add_int(w, "misses", (int64_t)misses);
	json_key(w, "hitRate");
	if (hits + misses)
		json_put_number(w, (double)hits / (double)(hits + misses));
	else
		json_put_null(w);
}

/* Of the responders that live. */
static void put_cache(struct json_writer *w, const struct app *app)
{
	uint64_t hits = 0, misses = 0;

	json_key(w, "cache");
	json_open(w, '{');
	for (enum cache_kind kind = 0; kind < N_CACHE_KINDS; kind++) {
		uint64_t kind_hits = sum(app, COUNT_CACHE_HITS + kind), kind_misses = sum(app, COUNT_CACHE_MISSES + kind);

		hits += kind_hits;
		misses += kind_misses;
		json_key(w, cache_kind_name(kind));
		json_open(w, '{');
		put_hits(w, kind_hits, kind_misses);
		json_close(w, '}');
	}
	put_hits(w, hits, misses);
	json_close(w, '}');
}

static void put_pool(struct json_writer *w, const struct app *app)
{
	struct process_id ids[MAX_SIBLINGS];

	json_key(w, "pool");
	json_open(w, '{');
	json_add_int(w, "responders", (int64_t)(1 + siblings_list(app->siblings, ids, MAX_SIBLINGS)));
	add_sum(w, "draining", app, COUNT_DRAINING);
	add_sum(w, "inFlight", app, COUNT_BUSY);
	add_sum(w, "liveStreams", app, COUNT_TURNS);
	json_close(w, '}');
}

/* All breakers that are not closed, and so many of the others. */
static void put_upstreams(struct json_writer *w, const struct app *app)
{
	enum { N_CLOSED = 100 };
	size_t n_closed = 0;

	json_key(w, "upstreams");
	json_open(w, '[');
	for (size_t i = 0; i < agents_count(app->agents); i++) {
		const struct agent *agent = agents_at(app->agents, i);
		struct breaker_view breaker;

		if (!agent->active)
			continue;
		breaker_look(app->breakers, agent->id, &breaker);
		if (breaker.state == BREAKER_CLOSED && n_closed++ >= N_CLOSED)
			continue;
		json_open(w, '{');
		json_add_str(w, "agentId", agent->id);
		json_add_cstr(w, "breaker", breaker_state_name(breaker.state));
		json_close(w, '}');
	}
	json_close(w, ']');
}

static enum flow_next detailed_start(struct request *r)
{
	struct app *app = r->app;
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	char time[CLOCK_ISO_SIZE];
	bool reachable = pool_stats(app->pool).reachable;

	host_publish(app);
	clock_iso(clock_real_us(), time);
	json_open(&w, '{');
	json_add_cstr(&w, "status", !reachable ? "unavailable" : n_without_redis(app) > 0 ? "degraded" : "ok");
	json_add_cstr(&w, "timestamp", time);
	json_key(&w, "uptime");
	json_put_number(&w, (double)(clock_mono_us() - app->began_us) / 1e6);
	json_add_cstr(&w, "version", PACKAGE_VERSION);
	json_key(&w, "memory");
	json_open(&w, '{');
	json_add_int(&w, "rss", mem_resident_bytes());
	json_close(&w, '}');
	json_key(&w, "components");
	json_open(&w, '{');
	put_database(&w, app);
	put_redis(&w, app);
	put_upstreams(&w, app);
	put_cache(&w, app);
	put_pool(&w, app);
	json_close(&w, '}');
	json_close(&w, '}');
	request_reply_bare(r, reachable ? 200 : 503, buf_str(&b));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step health_detailed_steps[] = {{"health_detailed", detailed_start, NULL}, {NULL, NULL, NULL}};
