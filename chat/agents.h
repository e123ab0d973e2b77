/* The agents of this responder: those of AGENTS_CONFIG_PATH added to the database where they are missing, then all loaded from it. */
#pragma once
#include "chat/agent.h"

struct agents;
struct loop;
struct pool;
struct seal;

/* Reads the file at once. Returns NULL with a sentence in why if it is there but is not what it should be; a missing file is
 * only logged. All pointers are borrowed until agents_free. */
struct agents *agents_new(struct loop *loop, struct pool *pool, const struct conf *conf, char *why, size_t why_size);
void agents_free(struct agents *agents);
/* Loads what has changed in the database, a hundred agents a statement; tries again by itself if that fails. What is called for while it is
 * under way is done afterwards. */
void agents_load(struct agents *agents);
/* The same for all of them, and what is missing of the file is added first: the database may be another one. */
void agents_load_all(struct agents *agents);
/* Reads the file again, then as agents_load_all. If the file is not what it should be, the log says so and it stays as it was read before. */
void agents_reload(struct agents *agents);
/* Has it been loaded at least once? */
bool agents_loaded(const struct agents *agents);
/* Names what is loaded: wherever agents_version is the same, so is all that people are shown of agents. */
enum { AGENTS_VERSION_SIZE = 33 };
const char *agents_version(const struct agents *agents);
/* NULL if there is none of that id; borrowed until the loop turn ends, agent_ref it to keep it. */
struct agent *agents_find(const struct agents *agents, struct str id);
/* In the order of their ids' bytes. */
size_t agents_count(const struct agents *agents);
struct agent *agents_at(const struct agents *agents, size_t i);
/* The place of the first one whose id comes after this one; agents_count if there is none. */
size_t agents_after(const struct agents *agents, struct str id);
/* What a row would be as an agent, with one reference for the caller: what has just been written need not be loaded yet. */
struct agent *agents_make(const struct agents *agents, const struct agent_row *row);
/* Seals keys of providers, if it is possible. */
const struct seal *agents_seal(const struct agents *agents);
