/* Who lives is seen once, when the round is made. */
#include "handlers/round.h"

#include "base/json.h"
#include "base/process.h"
#include "handlers/request.h"

static void on_answer(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct round, ask.op)->request);
}

static void end_round(void *arg)
{
	struct round *round = arg;

	control_ask_fini(&round->ask);
}

struct round *round_new(struct request *r)
{
	struct round *round = arena_alloc(&r->arena, sizeof(*round));
	const struct process *me = r->app->process;

	arena_on_free(&r->arena, end_round, round);
	round->request = r;
	round->ask.op.done = on_answer;
	round->ids[0] = (struct process_id){me->slot, me->generation};
	round->n = 1 + siblings_list(r->app->siblings, round->ids + 1, MAX_SIBLINGS);
	return round;
}

enum flow_next round_ask(struct round *round, struct str command)
{
	const struct app *app = round->request->app;

	control_ask_start(app->loop, &round->ask, app->process->run_dir, round->ids[round->at], command);
	return FLOW_WAIT;
}

struct json *round_answer(const struct round *round)
{
	struct json *answer = NULL;
	const char *why;

	if (round->ask.op.err || json_parse(buf_str(&round->ask.answer), &JSON_CAPS_USER, &answer, &why) != 0)
		return NULL;
	return answer;
}

bool round_next(struct round *round)
{
	round->at = round->at + 1 < round->n ? round->at + 1 : 0;
	return round->at != 0;
}
