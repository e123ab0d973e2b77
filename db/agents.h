/* Rows of agent_configs. What is written comes as JSON with the names of its columns: one statement writes one agent or thousands. */
#pragma once
#include "db/audit.h"

enum { AGENTS_MAX = 5000 };

/* One agent as it is stored; texts are borrowed from whoever made it. */
struct agent_row {
	struct str id, name, description, provider, endpoint, model, system_prompt, on_disconnect, app_id;
	bool is_active, from_file;
	struct str temperature;             /* a number as text; empty: not set */
	int64_t max_tokens, max_concurrent; /* 0: not set */
	int64_t max_queue;                  /* -1: not set */
	int64_t context_tokens;
	struct str capabilities, features, timeouts, rate_limit, fallbacks; /* JSON */
	struct str sealed_api_key, sealed_with;                             /* see base/seal.h; empty: it has none of its own */
	bool own_key;                                                       /* then the file's does not count */
	struct str created_by, created_at, updated_at;                      /* created_by may be empty */
	int64_t revision;
	int64_t created_s; /* since 1970; of stored ones only */
};

/* Ids and revisions of all agents, in the order of their ids' bytes. */
void agents_revisions(struct pool *pool, struct query *q);
struct str agents_revision_id(const struct query *q, size_t i);
int64_t agents_revision(const struct query *q, size_t i);
/* Those of these ids (a text array) that exist, in the same order. */
void agents_get(struct pool *pool, struct query *q, struct str ids);
struct agent_row agents_row(const struct query *q, size_t i);

/* Adds those of a JSON array whose id nobody has, nor had. A row for each that was added: its id. */
void agents_add_missing(struct pool *pool, struct query *q, struct str agents);

/* All of them, or, if one has a problem, none. Each element of the array has an id, and of the other columns those that are said; with
 * own_key come sealed_api_key and sealed_with. same_key_as: the key is the one that this revision has, and stays as it is sealed.
 * -ERR_CONFLICT: somebody else has just made one of them. */
enum agents_write { AGENTS_CREATE, AGENTS_UPDATE, AGENTS_IMPORT };
void agents_write(struct pool *pool, struct query *q, const struct audit_who *who, enum agents_write how, struct str agents);
/* A row for each, in their order. */
struct agent_written {
	struct str id;
	struct str
		outcome;   /* created, updated, unchanged; or the problem: exists, missing, moved (to another host without its key), full */
	struct str fields; /* JSON array: names of what changed */
};
struct agent_written agents_written(const struct query *q, size_t i);
/* Is it a problem? Then nothing was written, whatever the others' outcome. */
bool agents_refused(const struct agent_written *written);

/* Takes it away from everybody; its row stays, without its secrets, for its sessions. No row: there is no such agent. */
void agents_delete(struct pool *pool, struct query *q, const struct audit_who *who, struct str id, bool although_it_has_sessions);
bool agents_deleted(const struct query *q); /* false: it has sessions */
/* Has every responder read the file again and load all agents anew. */
void agents_announce_reload(struct pool *pool, struct query *q, const struct audit_who *who);

/* For llmchatctl. $1 key id, $2 the last id seen, $3 how many: id, sealed_api_key, sealed_with of keys that another one has sealed.
 * $1..$4 audit, $5 ids, $6 what is sealed as it was, $7 anew (text arrays), $8 key id: gives how many were still so. */
extern const struct statement agents_sealed_otherwise_statement, agents_seal_anew_statement;
