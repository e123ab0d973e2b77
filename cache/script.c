/* EVALSHA, and EVAL where that is not known. */
#include "cache/script.h"

#include <assert.h>
#include <stdio.h>

#include "base/err.h"
#include "cache/resp.h"

const char script_delete_ours[] = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end\n"
				  "return redis.call('DEL', KEYS[1])\n";

void script_init(struct script *s, struct redis *redis, const char *text)
{
	*s = (struct script){.redis = redis, .text = text};
}

void script_fini(struct script *s)
{
	op_cancel(&s->load.op);
}

static void on_loaded(struct op *op)
{
	struct script *s = CONTAINER_OF(op, struct script, load.op);

	if (op->err == 0 && s->load.reply->value.text.len == SCRIPT_NAME_SIZE - 1)
		snprintf(s->name, sizeof(s->name), "%.*s", STR_ARG(s->load.reply->value.text));
}

static void learn_name(struct script *s)
{
	if (s->name[0] || op_waiting(&s->load.op) || !redis_ready(s->redis))
		return;
	s->load.op.done = on_loaded;
	redis_start(s->redis, &s->load, (const struct str[]){STR("SCRIPT"), STR("LOAD"), str_from(s->text)}, 3);
}

static void send(struct script_call *c)
{
	struct str words[3 + SCRIPT_MAX_ARGS];
	char n_keys[8];

	c->whole = c->whole || !c->script->name[0];
	snprintf(n_keys, sizeof(n_keys), "%zu", c->n_keys);
	words[0] = c->whole ? STR("EVAL") : STR("EVALSHA");
	words[1] = str_from(c->whole ? c->script->text : c->script->name);
	words[2] = str_from(n_keys);
	memcpy(words + 3, c->args, c->n_args * sizeof(*words));
	redis_start(c->script->redis, &c->command, words, 3 + c->n_args);
}

static void on_answered(struct op *op)
{
	struct script_call *c = CONTAINER_OF(op, struct script_call, command.op);

	if (op->err == -ERR_INTERNAL && !c->whole && str_eq(resp_error_code(c->command.reply), STR("NOSCRIPT"))) {
		c->whole = true; /* which makes Redis know it again */
		send(c);
		return;
	}
	c->reply = c->command.reply;
	op_finish(&c->op, op->err);
}

static void cancel(struct op *op)
{
	op_cancel(&CONTAINER_OF(op, struct script_call, op)->command.op);
}

void script_start(struct script *s, struct script_call *c, const struct str *args, size_t n_args, size_t n_keys)
{
	assert(n_args <= SCRIPT_MAX_ARGS);
	learn_name(s);
	c->script = s;
	c->reply = NULL;
	c->whole = false;
	c->n_keys = n_keys;
	c->n_args = n_args;
	memcpy(c->args, args, n_args * sizeof(*args));
	c->op.cancel = cancel;
	c->command.op.done = on_answered;
	c->command.writes = true;
	send(c);
}
