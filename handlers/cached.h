/* What steps share that ask the cache, or change what may lie in it. */
#pragma once
#include "cache/cache.h"
#include "handlers/flow.h"

struct request;

/* Asks for it: FLOW_NEXT if r->cached has the answer, else FLOW_WAIT until it has. What is to be made then goes to r->cached. */
enum flow_next cached_ask(struct request *r, enum cache_kind kind, struct str id);
/* Drops these: FLOW_NEXT if there is nothing to wait for, else FLOW_WAIT. Whoever has changed something does this before he answers, so that
 * his client does not find the old one, whichever responder it asks next. */
enum flow_next cached_drop(struct request *r, enum cache_kind kind, const struct str *ids, size_t n_ids);
/* The statement in r->query should have changed something and has failed: if nobody can say that it has not, or will not, what is kept is
 * doubted once that is over. */
void cached_doubt(struct request *r);
/* The finish of a step that drops. */
enum flow_next cached_dropped(struct request *r);

/* A user as accounts_json shows him: asks, and answers if there is a copy; users_get and reply_user do the rest. */
enum flow_next cached_user_ask(struct request *r, struct str user_id);
enum flow_next cached_user_reply(struct request *r);
enum flow_next cached_user_drop(struct request *r, struct str user_id);
