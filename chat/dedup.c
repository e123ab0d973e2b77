/* A flight is what several may ask for at once. The first to ask leads it; the others follow, in their order. */
#include "chat/dedup.h"

#include <stdlib.h>

#include "base/loop.h"
#include "base/mem.h"
#include "cache/inflight.h"
#include "chat/turn.h"

enum { N_BUCKETS = 256 };

/* ASKING waits for Redis; LED for its leader; LIVE for the end of its turn; OVER for the end of this loop turn, when its followers are told. */
enum flight_state { ASKING, LED, LIVE, OVER };

struct flight {
	struct list node; /* in a bucket, until it is over */
	struct dedup *dedup;
	enum flight_state state;
	struct dedup_id id;
	struct uuid question_id, answer_id; /* of the turn that would begin here */
	struct uuid elsewhere;              /* the answer that another responder works on; empty: none does */
	struct dedup_claim *leader;         /* NULL: the turn has taken over, or nobody is left */
	struct list followers;
	struct turn *turn;
	struct redis_command command;
	bool held; /* Redis may have answer_id under its key */
	struct defer tell;
};

/* A key that is given back; it outlives its flight. */
struct giving_back {
	struct redis_command command;
	struct list node;
};

struct dedup {
	struct loop *loop;
	struct redis *redis;
	struct list buckets[N_BUCKETS], giving_back;
};

static void on_asked(struct op *op);

/* ---- Redis ---- */

static void on_given_back(struct op *op)
{
	struct giving_back *g = CONTAINER_OF(op, struct giving_back, command.op);

	list_remove(&g->node);
	free(g);
}

static void give_back(struct flight *f)
{
	struct giving_back *g;

	op_cancel(&f->command.op);
	if (!f->held)
		return;
	f->held = false;
	g = mem_alloc(sizeof(*g));
	g->command.op.done = on_given_back;
	list_push(&f->dedup->giving_back, &g->node);
	inflight_release(f->dedup->redis, &g->command, str_from(f->id.flight), uuid_str(&f->answer_id));
}

/* Is it known at once that nobody else has it, as far as anybody can tell? */
static bool ask_redis(struct flight *f, struct str stale)
{
	if (f->id.by_key || !redis_ready(f->dedup->redis))
		return true;
	f->state = ASKING;
	f->held = true;
	f->command.op.done = on_asked;
	inflight_claim(f->dedup->redis, &f->command, str_from(f->id.flight), uuid_str(&f->answer_id), stale, f->id.ttl_ms);
	return false;
}

/* ---- who is told what ---- */

static void give_verdict(const struct flight *f, struct dedup_claim *claim)
{
	bool elsewhere = f->elsewhere.text[0];

	claim->turn = f->turn;
	claim->question_id = f->question_id;
	claim->answer_id = elsewhere ? f->elsewhere : f->answer_id;
	if (f->state == LIVE)
		claim->verdict = DEDUP_JOIN;
	else if (f->state == OVER)
		claim->verdict = DEDUP_STORED;
	else
		claim->verdict = elsewhere ? DEDUP_ELSEWHERE : DEDUP_BEGIN;
}

static void part(struct dedup_claim *claim)
{
	list_remove(&claim->node);
	claim->op.cancel = NULL;
	claim->flight = NULL;
}

static void free_flight(struct flight *f)
{
	give_back(f);
	defer_cancel(&f->tell);
	list_remove(&f->node);
	free(f);
}

/* Those who can be told now. Whoever is told may leave, or enter another flight, at once. */
static void tell(struct defer *d)
{
	struct flight *f = CONTAINER_OF(d, struct flight, tell);

	while (f->state >= LIVE && !list_empty(&f->followers)) {
		struct dedup_claim *claim = CONTAINER_OF(f->followers.next, struct dedup_claim, node);

		part(claim);
		give_verdict(f, claim);
		op_finish(&claim->op, 0);
	}
	if (f->state == OVER) {
		free_flight(f);
	} else if (f->state == LED && f->leader && op_waiting(&f->leader->op)) {
		give_verdict(f, f->leader);
		op_finish(&f->leader->op, 0);
	}
}

static void tell_soon(struct flight *f)
{
	loop_defer(f->dedup->loop, &f->tell, tell);
}

static void on_asked(struct op *op)
{
	struct flight *f = CONTAINER_OF(op, struct flight, command.op);
	struct str holder = inflight_holder(&f->command);

	f->state = LED;
	f->elsewhere = (struct uuid){""};
	if (uuid_valid(holder) && !str_eq(holder, uuid_str(&f->answer_id))) {
		f->elsewhere = uuid_from(holder);
		f->held = false;
	}
	tell_soon(f);
}

static void cancel(struct op *op)
{
	dedup_leave(CONTAINER_OF(op, struct dedup_claim, op));
}

static bool wait_for(struct flight *f, struct dedup_claim *claim)
{
	claim->op.cancel = cancel;
	claim->flight = f;
	return false;
}

static bool lead(struct flight *f, struct dedup_claim *claim, struct str stale)
{
	f->leader = claim;
	claim->flight = f;
	if (!ask_redis(f, stale))
		return wait_for(f, claim);
	f->state = LED;
	f->elsewhere = (struct uuid){""};
	give_verdict(f, claim);
	return true;
}

/* ---- for requests and turns ---- */

static struct list *bucket_of(struct dedup *d, const char *id)
{
	return &d->buckets[((unsigned char)id[0] * 61u + (unsigned char)id[1]) % N_BUCKETS]; /* 64 characters each */
}

static struct flight *find(struct dedup *d, const char *id)
{
	struct list *bucket = bucket_of(d, id);

	for (struct list *l = bucket->next; l != bucket; l = l->next)
		if (strcmp(CONTAINER_OF(l, struct flight, node)->id.flight, id) == 0)
			return CONTAINER_OF(l, struct flight, node);
	return NULL;
}

bool dedup_enter(struct dedup *d, struct dedup_claim *claim, const struct dedup_id *id)
{
	struct flight *f = find(d, id->flight);

	if (!f) {
		f = mem_alloc(sizeof(*f));
		f->dedup = d;
		f->id = *id;
		f->question_id = uuid_new();
		f->answer_id = uuid_new(); /* sorts after the question */
		list_init(&f->followers);
		list_init(&f->tell.node);
		list_push(bucket_of(d, id->flight), &f->node);
		return lead(f, claim, STR(""));
	}
	if (strcmp(f->id.body, id->body) != 0) {
		claim->verdict = DEDUP_DIFFERS;
		return true;
	}
	if (f->state == LIVE) {
		give_verdict(f, claim);
		return true;
	}
	list_push(&f->followers, &claim->node);
	return wait_for(f, claim);
}

void dedup_begun(struct dedup_claim *claim, struct turn *turn)
{
	struct flight *f = claim->flight;

	part(claim);
	f->leader = NULL;
	f->turn = turn;
	f->state = LIVE;
	turn->flight = f;
	tell_soon(f);
}

static void set_over(struct flight *f, struct str answer_id)
{
	list_remove(&f->node);
	give_back(f);
	f->turn = NULL;
	f->leader = NULL;
	f->elsewhere = uuid_from(answer_id);
	f->state = OVER;
	tell_soon(f);
}

void dedup_stored(struct dedup_claim *claim, struct str answer_id)
{
	struct flight *f = claim->flight;

	part(claim);
	set_over(f, answer_id);
}

void dedup_over(struct turn *turn)
{
	if (turn->flight)
		set_over(turn->flight, uuid_str(&turn->answer_id));
	turn->flight = NULL;
}

bool dedup_again(struct dedup_claim *claim)
{
	struct flight *f = claim->flight;
	struct uuid stale = f->elsewhere;

	return lead(f, claim, uuid_str(&stale));
}

void dedup_leave(struct dedup_claim *claim)
{
	struct flight *f = claim->flight;

	if (!f)
		return;
	part(claim);
	if (f->leader != claim)
		return;
	f->leader = NULL;
	if (list_empty(&f->followers)) {
		free_flight(f);
		return;
	}
	/* The next one knows no less than this one did, and waits for no other reply. */
	f->leader = CONTAINER_OF(f->followers.next, struct dedup_claim, node);
	list_remove(&f->leader->node);
	tell_soon(f);
}

struct dedup *dedup_new(struct loop *loop, struct redis *redis)
{
	struct dedup *d = mem_alloc(sizeof(*d));

	d->loop = loop;
	d->redis = redis;
	list_init(&d->giving_back);
	for (size_t i = 0; i < N_BUCKETS; i++)
		list_init(&d->buckets[i]);
	return d;
}

void dedup_free(struct dedup *d)
{
	struct list *node;

	if (!d)
		return;
	while ((node = list_pop(&d->giving_back))) {
		struct giving_back *g = CONTAINER_OF(node, struct giving_back, node);

		op_cancel(&g->command.op);
		free(g);
	}
	free(d);
}
