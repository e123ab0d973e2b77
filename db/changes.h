/* What others have changed: reads the numbered changes twice a second and names each, so that copies in memory can be dropped. */
#pragma once
#include "base/str.h"

struct changes;
struct loop;
struct pool;

/* Calls fn from the loop for each change from now on. kind: "user", "login", "key", "agent"; id: of what has changed. Both are empty
 * when something was missed, and at the first reading: then anything may have changed. All pointers are borrowed until changes_free. */
struct changes *changes_new(struct loop *loop, struct pool *pool, void (*fn)(void *arg, struct str kind, struct str id), void *arg);
void changes_free(struct changes *changes);
