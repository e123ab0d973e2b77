/* An entry as it lies in Redis: what it was made from, a MAC, and the text. Anybody may write into Redis, and so may another version of
 * this program: whatever does not prove that it was written by one like us, under this key, is no entry. */
#pragma once
#include "base/buf.h"

enum { ENTRY_MAX_BYTES = 1024 * 1024 };

/* Appends it. stamp >= 0: see cache/cache.h. text may be empty: there is no such thing. */
void entry_put(struct buf *out, struct str secret, struct str key, int64_t stamp, struct str text);
/* False if it is none. text is borrowed from raw. */
MUST_CHECK bool entry_read(struct str raw, struct str secret, struct str key, int64_t *stamp, struct str *text);
