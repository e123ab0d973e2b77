/* Calls that tell a provider to stop an answer, for those that go on when the connection closes. Nobody waits for them: each has a
 * deadline, and there are never more than a few. */
#pragma once
#include "llm/provider.h"

struct loop;
struct farewells;

/* Both are borrowed until farewells_free, which comes before http_free. */
struct farewells *farewells_new(struct loop *loop, struct http *http);
/* Those on their way are given up. */
void farewells_free(struct farewells *all);
/* Tells the provider, if it has such a call; a log line if it is not told because too many are on their way. */
void farewell_say(struct farewells *all, const struct provider *provider, const struct llm_stop *stop);
