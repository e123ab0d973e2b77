/* The place in a list where the next page begins, as clients carry it: opaque, and signed together with the list that it belongs to. */
#pragma once
#include "base/uuid.h"

enum { CURSOR_SIZE = 92 };

/* scope: what the list is of (its owner, its filters); a cursor is good for that only. out gets a NUL-terminated text. */
void cursor_make(struct str secret, struct str scope, int64_t at_us, struct str id, char out[CURSOR_SIZE]);
/* False if it is not one of ours, or another list's. */
MUST_CHECK bool cursor_read(struct str secret, struct str scope, struct str cursor, int64_t *at_us, struct uuid *id);
