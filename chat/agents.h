/* The agents of this responder: read from AGENTS_CONFIG_PATH, added to the database where they are missing, then loaded from it. */
#pragma once
#include "chat/agent.h"

struct agents;
struct loop;
struct pool;

/* Reads the file at once. Returns NULL with a sentence in why if it is there but is not what it should be; a missing file is
 * only logged. All pointers are borrowed until agents_free. */
struct agents *agents_new(struct loop *loop, struct pool *pool, const struct conf *conf, char *why, size_t why_size);
void agents_free(struct agents *agents);
/* Adds what is missing and loads all anew; tries again by itself if that fails. If it is under way it is done once more. */
void agents_load(struct agents *agents);
/* Has it been loaded at least once? */
bool agents_loaded(const struct agents *agents);
/* NULL if there is none of that id; borrowed until the loop turn ends, agent_ref it to keep it. */
struct agent *agents_find(const struct agents *agents, struct str id);
size_t agents_count(const struct agents *agents);
struct agent *agents_at(const struct agents *agents, size_t i);
