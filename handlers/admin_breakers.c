/* All agents have one; those that were never in trouble have it closed. */
#include "handlers/admin_breakers.h"

#include "auth/people.h"
#include "base/breaker.h"
#include "base/clock.h"
#include "chat/agents.h"
#include "handlers/access.h"
#include "handlers/request.h"

enum { AT_ONCE = 200 };

static void put_breaker(struct json_writer *w, const struct breaker_view *view)
{
	bool half_open = view->state == BREAKER_HALF_OPEN;
	char time[CLOCK_ISO_SIZE];

	if (view->for_ms >= 0)
		clock_iso(clock_real_us() - (uint64_t)view->for_ms * 1000, time);
	json_open(w, '{');
	json_add_cstr(w, "agentId", view->agent_id);
	json_add_cstr(w, "breaker", breaker_state_name(view->state));
	json_add_int(w, "failures", half_open ? 0 : view->n);
	json_add_int(w, "successes", half_open ? view->n : 0);
	json_add_int(w, "probes", view->n_probes);
	json_add_cstr(w, "changedAt", view->for_ms >= 0 ? time : NULL);
	json_add_int(w, "retryAfterMs", view->retry_after_ms);
	json_add_bool(w, "coolingDown", view->cooling);
	json_close(w, '}');
}

/* ---- list ---- */

/* In the making: a slice of the agents, then others have their turn. */
struct listing {
	struct buf out;
	struct json_writer w;
	struct str wanted; /* a state; empty: all */
	struct str last;   /* id of the last one that was looked at, in last_text */
	char last_text[BREAKER_ID_BYTES];
	size_t n;
};

static void end_listing(void *arg)
{
	struct listing *listing = arg;

	buf_fini(&listing->out);
}

static bool is_state(struct str name)
{
	for (int state = BREAKER_CLOSED; state <= BREAKER_HALF_OPEN; state++)
		if (str_eq_cstr(name, breaker_state_name((enum breaker_state)state)))
			return true;
	return false;
}

static enum flow_next reply_list(struct request *r, struct listing *listing)
{
	struct buf pages = {0};

	json_close(&listing->w, ']');
	buf_printf(&pages, "{\"page\":1,\"pageSize\":%zu,\"total\":%zu,\"totalPages\":1}", listing->n, listing->n);
	request_reply(r, buf_str(&listing->out), buf_str(&pages));
	buf_fini(&pages);
	return FLOW_DONE;
}

static void list_one(struct request *r, struct listing *listing, const struct agent *agent)
{
	struct breaker_view view;

	memcpy(listing->last_text, agent->id.p, agent->id.len);
	listing->last = (struct str){listing->last_text, agent->id.len};
	breaker_look(r->app->breakers, agent->id, &view);
	if (listing->wanted.len && !str_eq_cstr(listing->wanted, breaker_state_name(view.state)))
		return;
	put_breaker(&listing->w, &view);
	listing->n++;
}

static enum flow_next list_start(struct request *r)
{
	const struct agents *agents = r->app->agents;
	struct listing *listing = r->state;
	size_t at, end;

	if (!agents_loaded(agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	if (!listing) {
		r->state = listing = arena_alloc(&r->arena, sizeof(*listing));
		arena_on_free(&r->arena, end_listing, listing);
		listing->w.out = &listing->out;
		request_query(r, "breaker", &listing->wanted);
		if (listing->wanted.len && !is_state(listing->wanted))
			return request_reject_because(r, ERR_VALIDATION, "breaker", "breaker must be closed, open or half_open.");
		json_open(&listing->w, '[');
	}
	at = listing->last.len ? agents_after(agents, listing->last) : 0;
	end = agents_count(agents) - at > AT_ONCE ? at + AT_ONCE : agents_count(agents);
	for (; at < end; at++)
		list_one(r, listing, agents_at(agents, at));
	return end < agents_count(agents) ? FLOW_AGAIN : reply_list(r, listing);
}

const struct step admin_breakers_steps[] = {{"list_breakers", list_start, NULL}, {NULL, NULL, NULL}};

/* ---- reset ---- */

static enum flow_next note(struct request *r, const char *type, const char *key, struct str value)
{
	struct audit_who who = access_who(r);

	audit_note(r->app->pool, r->query, &who, type, key, value);
	return FLOW_WAIT;
}

/* They are reset, whether that could be written down or not. */
static void complain_if_lost(struct request *r, const char *type)
{
	if (r->query->op.err)
		log_error(&r->log, "audit_entry_lost", "type", type, "actor", r->person->username);
}

static enum flow_next reset_one_start(struct request *r)
{
	struct str id = r->path_params[0];

	if (!agents_loaded(r->app->agents))
		return request_reject(r, ERR_DB_UNAVAILABLE);
	if (!agents_find(r->app->agents, id))
		return request_reject(r, ERR_AGENT_NOT_FOUND);
	breaker_reset(r->app->breakers, id);
	return note(r, "breaker.reset", "agentId", id);
}

static enum flow_next reset_one_finish(struct request *r)
{
	struct breaker_view view;
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	complain_if_lost(r, "breaker.reset");
	breaker_look(r->app->breakers, r->path_params[0], &view);
	put_breaker(&w, &view);
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step admin_breaker_reset_steps[] = {{"reset_breaker", reset_one_start, reset_one_finish}, {NULL, NULL, NULL}};

static enum flow_next reset_all_start(struct request *r)
{
	size_t *n = arena_alloc(&r->arena, sizeof(*n));

	r->state = n;
	*n = breakers_reset_all(r->app->breakers);
	return note(r, "breakers.reset", "agents", arena_printf(&r->arena, "%zu", *n));
}

static enum flow_next reset_all_finish(struct request *r)
{
	const size_t *n = r->state;

	complain_if_lost(r, "breakers.reset");
	return request_reply(r, arena_printf(&r->arena, "{\"reset\":%zu}", *n), STR(""));
}

const struct step admin_breakers_reset_steps[] = {{"reset_breakers", reset_all_start, reset_all_finish}, {NULL, NULL, NULL}};
