/* Anonymous visitors, where CHAT_ANONYMOUS allows them: known by a signed cookie. */
#pragma once
#include "handlers/flow.h"

struct buf;

/* For handlers/access.c: makes the cookie's visitor the owner; gives a new visitor an id. Refuses where nobody may be anonymous. */
enum flow_next owner_from_cookie(struct request *r);
/* The Set-Cookie line of a new visitor. */
void owner_put_cookie(const struct request *r, struct buf *out);
