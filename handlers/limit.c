/* Whom a request counts for, and what is said about it. cache/ratelimit counts. */
#include "handlers/limit.h"

#include "auth/people.h"
#include "handlers/cors.h"
#include "handlers/request.h"
#include "handlers/router.h"

/* What is asked to see whether we live, and by browsers before they ask, is not counted: either is answered at once and by nobody else. */
static bool counts(const struct request *r)
{
	return r->then != cors_options_steps && !(r->route && r->route->who == WHO_PROBE);
}

static struct str address_of(const struct request *r)
{
	struct str address = request_address(r);

	return address.len ? address : STR("unknown");
}

int limit_seconds(int64_t ms)
{
	return ms < 1000 ? 1 : (int)((ms + 999) / 1000);
}

static enum flow_next judge(struct request *r)
{
	r->counted = true;
	r->limit = r->waits->count.verdict;
	if (r->limit.refused)
		return request_reject_later(r, ERR_RATE_LIMITED, limit_seconds(r->limit.reset_ms));
	return FLOW_NEXT;
}

static void on_counted(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct request_waits, count.op)->request);
}

static enum flow_next count(struct request *r, struct str address, struct str identity)
{
	r->waits->count.op.done = on_counted;
	return ratelimit_start(r->app->ratelimit, &r->waits->count, address, identity) ? judge(r) : FLOW_WAIT;
}

static struct str identity_of(const struct person *person)
{
	return uuid_str(person->by == PERSON_BY_KEY ? &person->credential_id : &person->user_id);
}

/* Who has no name here counts by his address. Who has shown a token that we do not know yet counts after PostgreSQL has been asked;
 * a token that is none is refused then. */
enum flow_next limit_start(struct request *r)
{
	struct str address = address_of(r);

	if (!counts(r))
		return FLOW_NEXT;
	if (r->person)
		return count(r, address, identity_of(r->person));
	r->identity_due = r->claims_identity;
	return count(r, address, r->identity_due ? STR("") : address);
}

enum flow_next limit_finish(struct request *r)
{
	return judge(r);
}

enum flow_next limit_identity_start(struct request *r)
{
	if (!r->identity_due || !r->person)
		return FLOW_NEXT;
	return count(r, STR(""), identity_of(r->person));
}

/* As OpenAI writes a time: 59s, 6m0s. */
static void put_verdict(struct buf *out, const char *of, const struct ratelimit_verdict *v)
{
	int s = limit_seconds(v->reset_ms), min = s / 60;

	buf_printf(out, "X-RateLimit-Limit-%s: %lld\r\nX-RateLimit-Remaining-%s: %lld\r\nX-RateLimit-Reset-%s: ", of, (long long)v->limit,
		   of, (long long)v->remaining, of);
	if (min)
		buf_printf(out, "%dm", min);
	buf_printf(out, "%ds\r\n", s % 60);
}

/* What is reached; else of the limits that count requests what is nearest to its end. */
void limit_put_headers(const struct request *r, struct buf *out)
{
	const struct ratelimit_verdict *v = &r->limit;

	if (!r->counted)
		return;
	if (r->turn_requests.limit && r->turn_requests.remaining <= v->remaining)
		v = &r->turn_requests;
	if (r->face == FACE_OPENAI) {
		put_verdict(out, "Requests", v);
		if (r->turn_tokens.limit)
			put_verdict(out, "Tokens", &r->turn_tokens);
		return;
	}
	if (r->reached)
		v = r->reached;
	buf_printf(out, "X-RateLimit-Limit: %lld\r\nX-RateLimit-Remaining: %lld\r\nX-RateLimit-Reset: %d\r\n", (long long)v->limit,
		   (long long)v->remaining, limit_seconds(v->reset_ms));
}
