/* One connection to Redis, for as many commands as are wanted at once: they go out together and are answered in turn. Nothing here
 * blocks. Redis is optional: a command that it does not answer in time, or that it cannot take, fails, and whoever asked does without. */
#pragma once
#include "base/list.h"
#include "base/op.h"
#include "base/str.h"

struct conf;
struct loop;
struct redis;
struct resolver;
struct resp_reply;

enum { REDIS_MAX_IN_FLIGHT = 4096, REDIS_MAX_ARGS = 24 };

/* Connects, and again whenever the connection is lost. slot names it for the server ("llmchat-3"). With REDIS_HOST empty it never does.
 * The pointers are borrowed until redis_free; REDIS_ values of conf are read at each connect and use. */
struct redis *redis_new(struct loop *loop, struct resolver *resolver, const struct conf *conf, int slot);
/* Nobody may wait any more. NULL is fine. Not from inside a done. */
void redis_free(struct redis *r);
/* Would a command be sent now? False while there is no connection, and for a moment after Redis has refused to write. */
bool redis_ready(const struct redis *r);
/* Does it work, for all that is known? A Redis that refuses to write does not; one that is not wanted does. */
bool redis_usable(const struct redis *r);
/* Is anything known about Redis? False only until the first attempt to connect has ended. */
bool redis_settled(const struct redis *r);

/* One command; storage belongs to the caller. */
struct redis_command {
	struct op op;                   /* op.done is set by the caller */
	bool writes;                    /* set by the caller: a success shows that Redis takes what is written */
	const struct resp_reply *reply; /* in done: the reply if there is one, else NULL; borrowed until done returns */
	/* the client's own: */
	struct redis *redis;
	struct list node;
	uint32_t place;
};

/* Sends the command at the end of this loop turn. args are copied. c->op.done comes later, never inside. op.err:
 *   0                  reply is the answer, no error
 *   -ERR_REDIS_AWAY    no connection (told at once), none in REDIS_COMMAND_TIMEOUT, too many in flight, or Redis is there but
 *                      cannot do such things now (loading, a replica, out of memory, its disk). Whether a command that was sent has happened is unknown.
 *   -ERR_INTERNAL      any other error of Redis, in reply
 * When one command is not answered in time the connection is dropped, and all that wait fail with it. op.deadline_us is the client's.
 * op_cancel forgets a command that may still happen. */
void redis_start(struct redis *r, struct redis_command *c, const struct str *args, size_t n_args);

enum redis_state { REDIS_OFF, REDIS_RESTING, REDIS_RESOLVING, REDIS_CONNECTING, REDIS_GREETING, REDIS_READY };
struct redis_stats {
	enum redis_state state;
	bool refuses; /* connected, but it takes nothing that is written */
	size_t in_flight;
	uint64_t n_commands, n_failed, n_connects;
	uint64_t last_latency_us;
	uint64_t ready_since_us; /* clock_mono_us when the present connection, or the last one, became usable; 0: there was none */
};
struct redis_stats redis_stats(const struct redis *r);
