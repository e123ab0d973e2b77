/* A script that Redis runs, called by its name; a Redis that does not know it (any more) is sent the text once. */
#pragma once
#include "cache/redis.h"

enum { SCRIPT_NAME_SIZE = 41, SCRIPT_MAX_ARGS = 8 };

/* KEYS: one; ARGV: what it holds if it is ours. Deletes it then, and only then. */
extern const char script_delete_ours[];

struct script {
	struct redis *redis;         /* borrowed */
	const char *text;            /* borrowed */
	char name[SCRIPT_NAME_SIZE]; /* as Redis gave it; empty: not yet */
	struct redis_command load;
};

void script_init(struct script *s, struct redis *redis, const char *text);
/* Nobody may wait any more. Also right for an all-zero one. */
void script_fini(struct script *s);

/* One call; storage belongs to the caller. */
struct script_call {
	struct op op;                   /* op.done is set by the caller */
	const struct resp_reply *reply; /* in done: as in struct redis_command */
	/* its own: */
	struct script *script;
	struct redis_command command;
	struct str args[SCRIPT_MAX_ARGS];
	size_t n_keys, n_args;
	bool whole;
};

/* The first n_keys of args are keys. They are borrowed until done. op.err as for redis_start. */
void script_start(struct script *s, struct script_call *c, const struct str *args, size_t n_args, size_t n_keys);
