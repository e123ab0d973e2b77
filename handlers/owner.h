/* Who is asking: for now anonymous visitors, where CHAT_ANONYMOUS allows them, known by a signed cookie. */
#pragma once
#include "handlers/flow.h"

struct buf;

/* A step: finds out who asks, as the route demands. Refuses whoever may not; gives a new visitor an id. */
enum flow_next owner_start(struct request *r);
/* The Set-Cookie line of a new visitor. */
void owner_put_cookie(const struct request *r, struct buf *out);
