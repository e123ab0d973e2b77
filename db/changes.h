/* What others have changed: reads the numbered changes twice a second and names each, so that copies in memory can be dropped. */
#pragma once
#include "base/str.h"

struct changes;
struct loop;
struct pool;

/* Calls fn from the loop for each change from now on. kind: "user", "login", "key", "agent", "cache"; id: of what has changed. Both are empty
 * when something was missed, and at the first reading: then anything may have changed. All pointers are borrowed until changes_free. */
struct changes *changes_new(struct loop *loop, struct pool *pool, void (*fn)(void *arg, struct str kind, struct str id), void *arg);
void changes_free(struct changes *changes);
/* Calls fn at each reading, also if nothing has changed, before what has changed is named: n is the number of the last change by now. */
void changes_on_read(struct changes *changes, void (*fn)(void *arg, int64_t n));
/* Says to all responders, this one too, that everything of some kind may have changed: a change of an empty id. As soon as PostgreSQL can
 * be reached, but at most every half second. kind is borrowed for good, and the same at each call. */
void changes_announce(struct changes *changes, const char *kind);
