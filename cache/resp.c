/* hiredis' reader takes the bytes apart and calls us for each value: nothing is allocated for a reply. */
#include "cache/resp.h"

#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "base/mem.h"

#if HIREDIS_MAJOR >= 1
typedef size_t n_elements;
#else
typedef int n_elements;
#endif

enum { KEEP_TEXT_BYTES = 64 * 1024, MAX_CODE = 32 };

struct resp {
	redisReader *reader;            /* owned */
	struct resp_reply reply;        /* being put together, or handed out */
	struct buf text;                /* its texts: the reader moves its own buffer */
	size_t at[RESP_MAX_VALUES + 1]; /* where in it each begins; the last one is the reply's own */
};

/* The value that a task of the reader is about; NULL if it is deeper, or has more elements, than any reply of ours. */
static struct resp_value *value_of(const redisReadTask *task, size_t **at)
{
	struct resp *resp = task->privdata;

	if (!task->parent) {
		*at = &resp->at[RESP_MAX_VALUES];
		return &resp->reply.value;
	}
	if (task->parent->parent || task->idx < 0 || (size_t)task->idx >= resp->reply.n)
		return NULL;
	*at = &resp->at[task->idx];
	return &resp->reply.values[task->idx];
}

/* What it returns the reader takes for an object of ours; NULL makes it stop. */
static void *put(const redisReadTask *task, enum resp_type type, int64_t integer, struct str text)
{
	struct resp *resp = task->privdata;
	size_t *at;
	struct resp_value *value = value_of(task, &at);

	if (!value)
		return NULL;
	*value = (struct resp_value){type, integer, text};
	*at = resp->text.len;
	buf_add_str(&resp->text, text);
	return resp;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is hiredis' */
static void *on_string(const redisReadTask *task, char *p, size_t len)
{
	enum resp_type type = task->type == REDIS_REPLY_ERROR ? RESP_ERROR : task->type == REDIS_REPLY_STATUS ? RESP_STATUS : RESP_STRING;

	return put(task, type, 0, (struct str){p, len});
}

static void *on_array(const redisReadTask *task, n_elements n)
{
	struct resp *resp = task->privdata;

	if (task->parent || (size_t)n > RESP_MAX_VALUES)
		return NULL;
	resp->reply.n = (size_t)n;
	return put(task, RESP_ARRAY, 0, STR(""));
}

static void *on_integer(const redisReadTask *task, long long value)
{
	return put(task, RESP_INTEGER, value, STR(""));
}

static void *on_nil(const redisReadTask *task)
{
	return put(task, RESP_NIL, 0, STR(""));
}

static void free_nothing(void *object)
{
	(void)object;
}

static redisReplyObjectFunctions functions = {
	.createString = on_string,
	.createArray = on_array,
	.createInteger = on_integer,
	.createNil = on_nil,
	.freeObject = free_nothing,
};

struct resp *resp_new(void)
{
	struct resp *resp = mem_alloc(sizeof(*resp));

	resp->reader = redisReaderCreateWithFunctions(&functions);
	if (!resp->reader)
		abort(); /* out of memory, as mem_alloc would */
	resp->reader->privdata = resp;
	return resp;
}

void resp_free(struct resp *resp)
{
	if (!resp)
		return;
	redisReaderFree(resp->reader);
	buf_fini(&resp->text);
	free(resp);
}

int resp_feed(struct resp *resp, const char *p, size_t n)
{
	if (resp->reader->len - resp->reader->pos + n > RESP_MAX_BYTES)
		return -1;
	return redisReaderFeed(resp->reader, p, n) == REDIS_OK ? 0 : -1;
}

static void place(struct resp *resp, struct resp_value *value, size_t at)
{
	value->text.p = value->text.len ? resp->text.p + at : NULL;
}

int resp_next(struct resp *resp, const struct resp_reply **reply)
{
	void *object = NULL;

	if (!resp->reader->reply) { /* none is half read */
		if (resp->text.size > KEEP_TEXT_BYTES)
			buf_fini(&resp->text);
		resp->text.len = 0;
		resp->reply.n = 0;
	}
	if (redisReaderGetReply(resp->reader, &object) != REDIS_OK)
		return -1;
	if (!object)
		return 0;
	if (object != resp) /* of a later protocol, which nobody has asked for */
		return -1;
	place(resp, &resp->reply.value, resp->at[RESP_MAX_VALUES]);
	for (size_t i = 0; i < resp->reply.n; i++)
		place(resp, &resp->reply.values[i], resp->at[i]);
	*reply = &resp->reply;
	return 1;
}

struct str resp_error_code(const struct resp_reply *reply)
{
	struct str rest = reply->value.text, code = str_cut(&rest, ' ');

	if (reply->value.type == RESP_ERROR && code.len > 0 && code.len < MAX_CODE && str_only(code, STR(NAME_CHARS)))
		return code;
	return STR("?");
}

void resp_put_command(struct buf *out, const struct str *args, size_t n)
{
	buf_printf(out, "*%zu\r\n", n);
	for (size_t i = 0; i < n; i++) {
		buf_printf(out, "$%zu\r\n", args[i].len);
		buf_add_str(out, args[i]);
		buf_add_cstr(out, "\r\n");
	}
}
