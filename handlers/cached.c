/* Waiting for the cache. */
#include "handlers/cached.h"

#include "handlers/request.h"

static void on_answered(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct request, cached.op));
}

enum flow_next cached_ask(struct request *r, enum cache_kind kind, struct str id)
{
	r->cached.op.done = on_answered;
	r->cached.op.err = 0;
	return cache_ask_start(r->app->cache, &r->cached, kind, id) ? FLOW_NEXT : FLOW_WAIT;
}

static void on_dropped(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct request, drop.op));
}

enum flow_next cached_drop(struct request *r, enum cache_kind kind, const struct str *ids, size_t n_ids)
{
	r->drop.op.done = on_dropped;
	return cache_drop_start(r->app->cache, &r->drop, kind, ids, n_ids) ? FLOW_NEXT : FLOW_WAIT;
}

enum flow_next cached_dropped(struct request *r)
{
	(void)r;
	return FLOW_NEXT;
}

void cached_doubt(struct request *r)
{
	if (r->query->op.err == -ERR_DB_UNAVAILABLE && query_was_sent(r->query))
		cache_doubt(r->app->cache);
}

/* The same for all who write it in their own way. */
static struct str user_copy_id(struct request *r, struct str user_id)
{
	char *p = arena_alloc(&r->arena, user_id.len + 1);

	for (size_t i = 0; i < user_id.len; i++)
		p[i] = user_id.p[i] >= 'A' && user_id.p[i] <= 'F' ? (char)(user_id.p[i] | 0x20) : user_id.p[i];
	return (struct str){p, user_id.len};
}

enum flow_next cached_user_ask(struct request *r, struct str user_id)
{
	return cached_ask(r, CACHE_USER, user_copy_id(r, user_id));
}

enum flow_next cached_user_reply(struct request *r)
{
	if (r->cached.op.err)
		return request_reject(r, r->cached.op.err);
	if (r->cached.found == CACHE_FOUND)
		return request_reply(r, (struct str){r->cached.text->p, r->cached.text->len}, STR(""));
	return r->cached.found == CACHE_NONE ? request_reject(r, ERR_USER_NOT_FOUND) : FLOW_NEXT;
}

enum flow_next cached_user_drop(struct request *r, struct str user_id)
{
	struct str id = user_copy_id(r, user_id);

	return cached_drop(r, CACHE_USER, &id, 1);
}
