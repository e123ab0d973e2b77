/* Each responder of the host is asked over its control socket, one after the other; one that does not answer is shown as such. */
#include "handlers/admin_pool.h"

#include "auth/people.h"
#include "base/control.h"
#include "base/process.h"
#include "base/siblings.h"
#include "db/audit.h"
#include "handlers/access.h"
#include "handlers/request.h"

/* Who is asked what; in the request's arena. */
struct round {
	struct control_ask ask;
	struct request *request;
	struct process_id ids[MAX_SIBLINGS + 1];
	size_t n, at;
	struct str command;
	struct buf out; /* what /pool answers */
	struct json_writer w;
};

static void on_answer(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct round, ask.op)->request);
}

static void end_round(void *arg)
{
	struct round *round = arg;

	control_ask_fini(&round->ask);
	buf_fini(&round->out);
}

static struct round *round_new(struct request *r, struct str command)
{
	struct round *round = arena_alloc(&r->arena, sizeof(*round));
	const struct process *me = r->app->process;

	arena_on_free(&r->arena, end_round, round);
	round->request = r;
	round->ask.op.done = on_answer;
	round->command = command;
	round->w.out = &round->out;
	round->ids[0] = (struct process_id){me->slot, me->generation};
	round->n = 1 + siblings_list(r->app->siblings, round->ids + 1, MAX_SIBLINGS);
	r->state = round;
	return round;
}

static enum flow_next ask_next(struct request *r, struct round *round)
{
	control_ask_fini(&round->ask);
	control_ask_start(r->app->loop, &round->ask, r->app->process->run_dir, round->ids[round->at], round->command);
	return FLOW_WAIT;
}

/* ---- pool ---- */

static enum flow_next pool_start(struct request *r)
{
	struct round *round = r->state;

	if (!round) {
		round = round_new(r, STR("state"));
		json_open(&round->w, '[');
	}
	return ask_next(r, round);
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
	struct round *round = r->state;

	if (round->ask.op.err)
		put_silent(&round->w, round->ids[round->at]);
	else
		json_put_raw(&round->w, buf_str(&round->ask.answer));
	if (++round->at < round->n)
		return FLOW_AGAIN;
	json_close(&round->w, ']');
	return request_reply(r, buf_str(&round->out), STR(""));
}

const struct step admin_pool_steps[] = {{"ask_responders", pool_start, pool_finish}, {NULL, NULL, NULL}};

/* ---- stopping a turn ---- */

static enum flow_next stop_start(struct request *r)
{
	struct round *round = r->state;

	if (!uuid_valid(r->path_params[0]))
		return request_reject(r, ERR_TURN_NOT_FOUND);
	if (!round)
		round = round_new(r, arena_printf(&r->arena, "stop %.*s", STR_ARG(r->path_params[0])));
	return ask_next(r, round);
}

/* Did this one have the turn, and stop it? */
static bool stopped(const struct round *round)
{
	struct json *answer = NULL;
	const char *why;
	bool yes = false;

	if (round->ask.op.err == 0 && json_parse(buf_str(&round->ask.answer), &JSON_CAPS_USER, &answer, &why) == 0)
		yes = json_as_bool(json_get(answer, "ok"), false);
	json_free(answer);
	return yes;
}

static enum flow_next stop_finish(struct request *r)
{
	struct round *round = r->state;

	if (stopped(round))
		return FLOW_NEXT;
	return ++round->at < round->n ? FLOW_AGAIN : request_reject(r, ERR_TURN_NOT_FOUND);
}

static enum flow_next note_start(struct request *r)
{
	struct audit_who who = access_who(r);

	audit_note(r->app->pool, &r->query, &who, "turn.stopped", "answerId", r->path_params[0]);
	return FLOW_WAIT;
}

/* It is stopped, whether that could be written down or not. */
static enum flow_next note_finish(struct request *r)
{
	if (r->query.op.err)
		log_error(&r->log, "audit_entry_lost", "type", "turn.stopped", "actor", r->person->username);
	return request_reply(r, STR("null"), STR(""));
}

const struct step admin_stop_turn_steps[] = {
	{"stop_turn", stop_start, stop_finish},
	{"note_it", note_start, note_finish},
	{NULL, NULL, NULL},
};
