/* Whose limits a turn counts for, and what is said when one of them is reached. chat/reservation counts. */
#include "handlers/reserve.h"

#include <stdio.h>

#include "auth/people.h"
#include "chat/reservation.h"
#include "handlers/limit.h"
#include "handlers/request.h"

enum { MAX_NAME = 96 }; /* an agent's id has at most 64 */

static struct ratelimit_verdict verdict_of(const struct quota *q, bool refused)
{
	return (struct ratelimit_verdict){.refused = refused, .limit = q->limit, .remaining = q->remaining, .reset_ms = q->reset_ms};
}

/* Keeps for the headers what is nearest to its end, or what is reached. */
static void note(struct request *r)
{
	const struct quota_set *set = &r->reservation->minute;

	for (size_t i = 0; i < set->n; i++) {
		const struct quota *q = &set->all[i];
		struct ratelimit_verdict *kept = q->what == QUOTA_REQUESTS ? &r->turn_requests : &r->turn_tokens;
		bool refused = set->refused_by == (int)i;

		if (!kept->limit || refused || (!kept->refused && q->remaining < kept->remaining))
			*kept = verdict_of(q, refused);
		if (refused)
			r->reached = kept;
	}
}

static enum flow_next refuse_by_minute(struct request *r, const struct quota *q)
{
	char whose[MAX_NAME] = "This API key";

	if (q->of == QUOTA_AGENT)
		snprintf(whose, sizeof(whose), "The agent %.*s", STR_ARG(r->reservation->agent->id));
	if (q->what == QUOTA_REQUESTS)
		return request_reject_limit(r, limit_seconds(q->reset_ms), "%s takes %lld requests a minute; please wait a little.", whose,
					    (long long)q->limit);
	return request_reject_limit(r, limit_seconds(q->reset_ms),
				    "%s takes %lld tokens a minute, of which %lld are left, and this question may take %lld; please wait.",
				    whose, (long long)q->limit, (long long)q->remaining, (long long)q->reserved);
}

static enum flow_next refuse_by_budget(struct request *r)
{
	const struct reservation *res = r->reservation;
	const struct budget_reserved *b = &res->budget;

	r->turn_tokens = (struct ratelimit_verdict){true, b->budget, b->left, b->resets_in_s * 1000};
	r->reached = &r->turn_tokens;
	return request_reject_limit(r, limit_seconds(r->reached->reset_ms),
				    "This API key takes %lld tokens a month, of which %lld are left, and this question may take %lld.",
				    (long long)b->budget, (long long)b->left, (long long)res->month_tokens);
}

static enum flow_next judge(struct request *r)
{
	const struct reservation *res = r->reservation;

	if (res->op.err)
		return request_reject(r, res->op.err);
	note(r);
	if (res->refused_by == LIMIT_MINUTE)
		return refuse_by_minute(r, &res->minute.all[res->minute.refused_by]);
	if (res->refused_by == LIMIT_BUDGET)
		return refuse_by_budget(r);
	return FLOW_NEXT;
}

static void on_reserved(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct reservation, op)->waiter);
}

enum flow_next reserve_start(struct request *r, const struct turn_request *turn)
{
	const struct person *person = r->person;
	bool by_key = person && person->by == PERSON_BY_KEY;

	r->reservation = reservation_new(r->app->reservations, turn, by_key ? uuid_str(&person->credential_id) : STR(""),
					 by_key ? &person->limits : NULL);
	if (!r->reservation)
		return FLOW_NEXT;
	r->reservation->waiter = r;
	r->reservation->op.done = on_reserved;
	return reservation_start(r->reservation) ? judge(r) : FLOW_WAIT;
}

enum flow_next reserve_finish(struct request *r)
{
	return judge(r);
}
