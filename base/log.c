/* Writing log lines. A line is at most PIPE_BUF bytes, so that poll() can tell whether writing it would block. */
#include "base/log.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static enum log_level lowest = LOG_INFO;
static int slot = -1;
static pid_t pid; /* 0: not asked for yet */
static uint64_t n_dropped;
static struct buf line; /* reused for every line */

void log_set_level(enum log_level level)
{
	lowest = level;
}

bool log_level_from(struct str name, enum log_level *out)
{
	for (size_t i = 0; i < N_ELEMENTS(level_names); i++) {
		if (str_eq_cstr(name, level_names[i])) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void log_set_slot(int new_slot)
{
	slot = new_slot;
}

uint64_t log_n_dropped(void)
{
	return n_dropped;
}

/* Values from outside may be long or not UTF-8: cut, and replaced by a note. */
static struct str printable(struct str s)
{
	enum { MAX_VALUE = 512 };

	if (!utf8_valid(s))
		return STR("(not UTF-8)");
	if (s.len > MAX_VALUE) {
		s.len = MAX_VALUE;
		while (s.len > 0 && !utf8_valid(s))
			s.len--;
	}
	return s;
}

static void put_value(struct json_writer *w, const struct log_value *v)
{
	json_key(w, v->key);
	switch (v->type) {
	case LOG_V_TEXT: json_put_str(w, printable(v->text)); break;
	case LOG_V_INT: json_put_int(w, v->i); break;
	case LOG_V_UINT: json_put_int(w, (int64_t)v->u); break;
	case LOG_V_DOUBLE: json_put_number(w, v->d); break;
	case LOG_V_BOOL: json_put_bool(w, v->i != 0); break;
	case LOG_V_NONE: json_put_null(w); break;
	}
}

void log_write(enum log_level level, const struct log_ctx *ctx, const char *event, const struct log_value *values, size_t n)
{
	struct json_writer w = {.out = &line};
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};
	char time[CLOCK_ISO_SIZE];

	if (level < lowest)
		return;
	if (pid == 0)
		pid = getpid();
	line.len = 0;
	clock_iso(clock_real_us(), time);
	json_open(&w, '{');
	json_add_cstr(&w, "time", time);
	json_add_cstr(&w, "level", level_names[level]);
	json_add_cstr(&w, "event", event);
	if (slot >= 0)
		json_add_int(&w, "slot", slot);
	json_add_int(&w, "pid", pid);
	if (ctx && ctx->request_id)
		json_add_str(&w, "requestId", printable(str_from(ctx->request_id)));
	if (ctx && ctx->step)
		json_add_cstr(&w, "step", ctx->step);
	for (size_t i = 0; i < n; i++) {
		size_t before = line.len;

		put_value(&w, &values[i]);
		if (line.len > PIPE_BUF - 2)
			line.len = before; /* this value no longer fits */
	}
	json_close(&w, '}');
	buf_add_char(&line, '\n');
	if (poll(&fd, 1, 0) != 1 || !(fd.revents & POLLOUT) || write(STDERR_FILENO, line.p, line.len) < 0)
		n_dropped++;
}

struct log_value log_value_cstr(const char *key, const char *v)
{
	return (struct log_value){.type = v ? LOG_V_TEXT : LOG_V_NONE, .key = key, .text = str_from(v)};
}

struct log_value log_value_str(const char *key, struct str v)
{
	return (struct log_value){.type = LOG_V_TEXT, .key = key, .text = v};
}

struct log_value log_value_int(const char *key, long long v)
{
	return (struct log_value){.type = LOG_V_INT, .key = key, .i = v};
}

struct log_value log_value_uint(const char *key, unsigned long long v)
{
	return (struct log_value){.type = LOG_V_UINT, .key = key, .u = v};
}

struct log_value log_value_double(const char *key, double v)
{
	return (struct log_value){.type = LOG_V_DOUBLE, .key = key, .d = v};
}

struct log_value log_value_bool(const char *key, bool v)
{
	return (struct log_value){.type = LOG_V_BOOL, .key = key, .i = v};
}
