/* Each responder of the host is asked over its control socket, one after the other; one that does not answer is shown as such. */
#include "handlers/admin_pool.h"

#include "auth/people.h"
#include "db/audit.h"
#include "handlers/access.h"
#include "handlers/request.h"
#include "handlers/round.h"

/* ---- pool ---- */

struct listing {
	struct round *round;
	struct buf out;
	struct json_writer w;
};

static void free_listing(void *arg)
{
	buf_fini(&((struct listing *)arg)->out);
}

static enum flow_next pool_start(struct request *r)
{
	struct listing *listing = r->state;

	if (!listing) {
		listing = arena_alloc(&r->arena, sizeof(*listing));
		arena_on_free(&r->arena, free_listing, listing);
		listing->round = round_new(r);
		listing->w.out = &listing->out;
		json_open(&listing->w, '[');
		r->state = listing;
	}
	return round_ask(listing->round, STR("state"));
}

static void put_silent(struct json_writer *w, struct process_id id)
{
	json_open(w, '{');
	json_add_bool(w, "ok", false);
	json_add_int(w, "slot", id.slot);
	json_add_int(w, "generation", id.generation);
	json_close(w, '}');
}

static enum flow_next pool_finish(struct request *r)
{
	struct listing *listing = r->state;
	const struct round *round = listing->round;

	if (round->ask.op.err)
		put_silent(&listing->w, round->ids[round->at]);
	else
		json_put_raw(&listing->w, buf_str(&round->ask.answer));
	if (round_next(listing->round))
		return FLOW_AGAIN;
	json_close(&listing->w, ']');
	return request_reply(r, buf_str(&listing->out), STR(""));
}

const struct step admin_pool_steps[] = {{"ask_responders", pool_start, pool_finish}, {NULL, NULL, NULL}};

/* ---- stopping a turn ---- */

static enum flow_next stop_start(struct request *r)
{
	if (!uuid_valid(r->path_params[0]))
		return request_reject(r, ERR_TURN_NOT_FOUND);
	if (!r->state)
		r->state = round_new(r);
	return round_ask(r->state, arena_printf(&r->arena, "stop %.*s", STR_ARG(r->path_params[0])));
}

static enum flow_next stop_finish(struct request *r)
{
	struct round *round = r->state;
	struct json *answer = round_answer(round);
	bool stopped = json_as_bool(json_get(answer, "ok"), false);

	json_free(answer);
	if (stopped)
		return FLOW_NEXT;
	return round_next(round) ? FLOW_AGAIN : request_reject(r, ERR_TURN_NOT_FOUND);
}

static enum flow_next note_start(struct request *r)
{
	struct audit_who who = access_who(r);

	audit_note(r->app->pool, r->query, &who, "turn.stopped", "answerId", r->path_params[0]);
	return FLOW_WAIT;
}

/* It is stopped, whether that could be written down or not. */
static enum flow_next note_finish(struct request *r)
{
	if (r->query->op.err)
		log_error(&r->log, "audit_entry_lost", "type", "turn.stopped", "actor", r->person->username);
	return request_reply(r, STR("null"), STR(""));
}

const struct step admin_stop_turn_steps[] = {
	{"stop_turn", stop_start, stop_finish},
	{"note_it", note_start, note_finish},
	{NULL, NULL, NULL},
};
