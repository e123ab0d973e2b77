/* Counts for the siblings, and commands. */
#include "handlers/host.h"

#include <signal.h>

#include "base/breaker.h"
#include "base/clock.h"
#include "base/control.h"
#include "base/json.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/siblings.h"
#include "cache/cache.h"
#include "cache/redis.h"
#include "chat/agents.h"
#include "chat/turns.h"
#include "db/pool.h"
#include "fcgi/server.h"
#include "handlers/app.h"

_Static_assert((int)PROCESS_CACHE_KINDS == (int)N_CACHE_KINDS, "each kind has its counts");

static void publish_cache(const struct app *app)
{
	for (enum cache_kind kind = 0; kind < N_CACHE_KINDS; kind++) {
		struct cache_counts counts = cache_counts(app->cache, kind);

		process_set(app->process, COUNT_CACHE_HITS + kind, counts.hits);
		process_set(app->process, COUNT_CACHE_MISSES + kind, counts.misses);
	}
}

void host_publish(void *arg)
{
	const struct app *app = arg;
	struct pool_stats db = pool_stats(app->pool);

	process_set(app->process, COUNT_DRAINING, app->draining);
	process_set(app->process, COUNT_CONNECTIONS, app->server->n_conns);
	process_set(app->process, COUNT_REQUESTS, app->n_requests);
	process_set(app->process, COUNT_DB_ACTIVE, db.active);
	process_set(app->process, COUNT_DB_IDLE, db.idle);
	process_set(app->process, COUNT_DB_WAITING, db.waiting);
	process_set(app->process, COUNT_DB_MAX, db.max);
	process_set(app->process, COUNT_BUSY, server_n_busy(app->server));
	process_set(app->process, COUNT_REDIS_AWAY, !redis_usable(app->redis));
	publish_cache(app);
}

static void refuse(struct buf *answer, const char *code, const char *sentence)
{
	struct json_writer w = {.out = answer};

	json_open(&w, '{');
	json_add_bool(&w, "ok", false);
	json_add_cstr(&w, "code", code);
	json_add_cstr(&w, "error", sentence);
	json_close(&w, '}');
}

static void add_count(struct json_writer *w, const char *key, const struct app *app, enum process_count what)
{
	json_add_int(w, key, (int64_t)process_get(app->process->page, what));
}

static void put_turn(struct json_writer *w, const struct turn *turn, uint64_t now_us)
{
	static const char *const states[] = {
		[TURN_BEGINNING] = "beginning", [TURN_CALLING] = "calling", [TURN_STREAMING] = "streaming",
		[TURN_ENDING] = "ending",       [TURN_OVER] = "over",
	};

	json_open(w, '{');
	json_add_str(w, "answerId", uuid_str(&turn->answer_id));
	json_add_str(w, "agentId", turn->agent->id);
	json_add_str(w, "userId", turn->user_id);
	json_add_int(w, "ageMs", (int64_t)((now_us - turn->began_us) / 1000));
	json_add_cstr(w, "state", states[turn->state]);
	json_close(w, '}');
}

/* The oldest, as many as the answer holds. */
static void put_turns(struct json_writer *w, const struct turns *turns)
{
	enum { ROOM_FOR_ONE = 1024 };
	uint64_t now_us = clock_mono_us();
	size_t n = 0;

	json_key(w, "liveTurns");
	json_open(w, '[');
	for (struct list *l = turns->live.next; l != &turns->live; l = l->next, n++) {
		if (n == HOST_MAX_TURNS || w->out->len > CONTROL_MAX_ANSWER - ROOM_FOR_ONE)
			break;
		put_turn(w, CONTAINER_OF(l, struct turn, node), now_us);
	}
	json_close(w, ']');
	json_add_int(w, "liveTurnsLeftOut", (int64_t)(turns->n_live - n));
}

static void put_database(struct json_writer *w, const struct app *app)
{
	json_key(w, "database");
	json_open(w, '{');
	json_add_bool(w, "reachable", pool_stats(app->pool).reachable);
	add_count(w, "active", app, COUNT_DB_ACTIVE);
	add_count(w, "idle", app, COUNT_DB_IDLE);
	add_count(w, "waiting", app, COUNT_DB_WAITING);
	add_count(w, "max", app, COUNT_DB_MAX);
	json_close(w, '}');
}

static void put_loop(struct json_writer *w, const struct app *app)
{
	struct loop_lag lag = loop_lag(app->loop);

	json_key(w, "loop");
	json_open(w, '{');
	json_add_int(w, "turns", (int64_t)lag.n_turns);
	json_add_int(w, "p50Us", (int64_t)lag.p50_us);
	json_add_int(w, "p99Us", (int64_t)lag.p99_us);
	json_add_int(w, "maxUs", (int64_t)lag.max_us);
	json_add_int(w, "slow", (int64_t)lag.n_slow);
	json_close(w, '}');
}

static void state(struct app *app, struct str unused, struct buf *answer)
{
	const struct process *me = app->process;
	struct process_id ids[MAX_SIBLINGS];
	struct json_writer w = {.out = answer};
	char started[CLOCK_ISO_SIZE];

	(void)unused;
	host_publish(app);
	clock_iso((uint64_t)me->generation, started);
	json_open(&w, '{');
	json_add_bool(&w, "ok", true);
	json_add_int(&w, "slot", me->slot);
	json_add_int(&w, "generation", me->generation);
	json_add_int(&w, "pid", (int64_t)me->page->pid);
	json_add_cstr(&w, "version", me->page->version);
	json_add_cstr(&w, "startedAt", started);
	json_add_int(&w, "uptimeMs", (int64_t)((clock_mono_us() - app->began_us) / 1000));
	json_add_bool(&w, "draining", app->draining);
	json_add_bool(&w, "jobs", process_get(me->page, COUNT_JOBS) != 0);
	json_add_int(&w, "siblings", (int64_t)siblings_list(app->siblings, ids, MAX_SIBLINGS));
	add_count(&w, "turns", app, COUNT_TURNS);
	add_count(&w, "connections", app, COUNT_CONNECTIONS);
	add_count(&w, "requests", app, COUNT_REQUESTS);
	put_database(&w, app);
	put_loop(&w, app);
	put_turns(&w, app->turns);
	json_close(&w, '}');
}

static void set_log_level(struct app *app, struct str level, struct buf *answer)
{
	enum log_level wanted;

	(void)app;
	if (!log_level_from(level, &wanted)) {
		refuse(answer, "BAD_COMMAND", "The level must be debug, info, warn or error.");
		return;
	}
	log_set_level(LOG_INFO);
	log_info(NULL, "log_level", "now", level);
	log_set_level(wanted);
	buf_add_cstr(answer, "{\"ok\":true}");
}

static void find(struct app *app, struct str argument, struct buf *answer)
{
	struct str id = argument, user_id = str_cut(&id, ' ');
	struct json_writer w = {.out = answer};
	const struct turn *turn;

	if (!uuid_valid(user_id) || id.len == 0) {
		refuse(answer, "BAD_COMMAND", "find needs the id of a user, a UUID, and the id of an answer.");
		return;
	}
	turn = turns_find_of(app->turns, user_id, id);
	if (!turn) {
		refuse(answer, "NOT_FOUND", "No live turn of this user writes this answer.");
		return;
	}
	json_open(&w, '{');
	json_add_bool(&w, "ok", true);
	json_add_str(&w, "answerId", uuid_str(&turn->answer_id));
	json_add_str(&w, "agentId", turn->agent->id);
	if (turn->status)
		json_add_cstr(&w, "status", turn->status);
	json_close(&w, '}');
}

static void stop(struct app *app, struct str answer_id, struct buf *answer)
{
	struct turn *turn = turns_find(app->turns, answer_id);

	if (!uuid_valid(answer_id))
		refuse(answer, "BAD_COMMAND", "stop needs the id of an answer, a UUID.");
	else if (!turn)
		refuse(answer, "NOT_FOUND", "No live turn writes this answer.");
	else if (!turn_stop(turn))
		refuse(answer, "ENDING", "This turn is ending already.");
	else
		buf_add_cstr(answer, "{\"ok\":true}");
}

static void reset_breaker(struct app *app, struct str agent_id, struct buf *answer)
{
	bool changed = breaker_reset(app->breakers, agent_id);

	if (!changed && !agents_find(app->agents, agent_id))
		refuse(answer, "NOT_FOUND", "There is no agent with this id.");
	else
		buf_printf(answer, "{\"ok\":true,\"changed\":%d}", changed);
}

static void reset_breakers(struct app *app, struct str unused, struct buf *answer)
{
	(void)unused;
	buf_printf(answer, "{\"ok\":true,\"changed\":%zu}", breakers_reset_all(app->breakers));
}

/* Through the signal's own door: the answer goes out first. */
static void drain(struct app *app, struct str unused, struct buf *answer)
{
	(void)app;
	(void)unused;
	(void)raise(SIGTERM);
	buf_add_cstr(answer, "{\"ok\":true}");
}

static const struct command {
	const char *name;
	bool has_argument;
	void (*run)(struct app *app, struct str argument, struct buf *answer);
} commands[] = {
	{"state", false, state},
	{"log", true, set_log_level},
	{"find", true, find},
	{"stop", true, stop},
	{"reset-breaker", true, reset_breaker},
	{"reset-breakers", false, reset_breakers},
	{"drain", false, drain},
};

void host_command(void *arg, struct str command, struct buf *answer)
{
	struct str rest = command, name;

	if (command.len > CONTROL_MAX_COMMAND) {
		refuse(answer, "BAD_COMMAND", "This is too long for a command.");
		return;
	}
	name = str_cut(&rest, ' ');
	for (size_t i = 0; i < N_ELEMENTS(commands); i++) {
		if (!str_eq_cstr(name, commands[i].name))
			continue;
		if (commands[i].has_argument != (rest.p != NULL))
			break;
		commands[i].run(arg, rest, answer);
		return;
	}
	refuse(answer, "BAD_COMMAND", "The commands are: state, log LEVEL, find USER_ID ID, stop ANSWER_ID, reset-breaker AGENT_ID, reset-breakers, drain.");
}
