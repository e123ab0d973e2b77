/* Compare and set, compare and delete. Sent whole: a turn takes a thousand times longer. */
#include "cache/inflight.h"

#include <stdio.h>

#include "cache/resp.h"
#include "cache/script.h"

static const char claim[] = "local held = redis.call('GET', KEYS[1])\n"
			    "if held and held ~= ARGV[1] and held ~= ARGV[2] then return held end\n"
			    "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])\n"
			    "return ARGV[1]\n";

enum { KEY_SIZE = INFLIGHT_ID_SIZE + 24 };

static struct str key_of(struct str id, char out[KEY_SIZE])
{
	int n = snprintf(out, KEY_SIZE, "llmchat:inflight:%.*s", STR_ARG(id));

	return (struct str){out, (size_t)n};
}

void inflight_claim(struct redis *redis, struct redis_command *command, struct str id, struct str mine, struct str stale, int64_t ttl_ms)
{
	char key[KEY_SIZE], ttl[24];

	snprintf(ttl, sizeof(ttl), "%lld", (long long)ttl_ms);
	command->writes = true;
	redis_start(redis, command, (const struct str[]){STR("EVAL"), STR(claim), STR("1"), key_of(id, key), mine, stale, str_from(ttl)},
		    7);
}

struct str inflight_holder(const struct redis_command *command)
{
	bool told = command->op.err == 0 && command->reply && command->reply->value.type == RESP_STRING;

	return told ? command->reply->value.text : STR("");
}

void inflight_release(struct redis *redis, struct redis_command *command, struct str id, struct str mine)
{
	char key[KEY_SIZE];

	redis_start(redis, command, (const struct str[]){STR("EVAL"), str_from(script_delete_ours), STR("1"), key_of(id, key), mine}, 5);
}
