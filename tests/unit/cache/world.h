/* What the tests of cache/ share: a private redis-server for the program; a loop, a resolver and a client for each test. */
#pragma once
#include "base/conf.h"
#include "base/err.h"
#include "cache/redis.h"
#include "cache/resp.h"
#include "net/resolver.h"
#include "tests/unit/support.h"

struct redis_server {
	char dir[64], socket[80];
	pid_t pid; /* 0: not running */
};
extern struct redis_server redis_server;

/* For cmocka, of the program: a server without a password. */
int start_redis(void **state);
int stop_redis(void **state);
/* Stop and start it within a test; it returns when connections are accepted. */
void redis_server_start(void);
void redis_server_stop(void);
/* A command over a connection of its own; returns the first line of the reply. Arguments end with NULL. */
const char *redis_say(const char *first, ...);

struct world {
	struct conf conf; /* change it before world_connect */
	struct loop *loop;
	struct resolver *resolver;
	struct redis *redis;
};
/* For cmocka, of each test (*state is a struct world): empties the server, too, if it runs. */
int make_world(void **state);
int end_world(void **state);
/* Makes the client; and waits until it is ready. */
void world_connect(struct world *w);
void world_ready(struct world *w);

/* One command and how it went. */
struct ask {
	struct redis_command c;
	bool done;
	int err;
	enum resp_type type;
	int64_t integer;
	char text[128];
	uint64_t took_ms, began_ms;
};
/* Words are cut at blanks. */
void ask_start(struct world *w, struct ask *a, const char *words);
/* The same, and waits for it. */
void ask(struct world *w, struct ask *a, const char *words);
