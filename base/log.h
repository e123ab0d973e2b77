/* Log lines as JSON on stderr: log_warn(ctx, "redis_unreachable", "host", host, "retry_ms", n).
 * The event is a fixed word, the rest are up to eight pairs of key and value (text, numbers, bool, struct str).
 * Never message text, tokens, passwords or keys. A line never blocks: if stderr is full it is dropped and counted. */
#pragma once
#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Who speaks: the request or turn. Any member may be NULL. */
struct log_ctx {
	const char *request_id; /* borrowed */
	const char *step;       /* borrowed, a fixed word */
};

struct log_value {
	enum { LOG_V_NONE, LOG_V_TEXT, LOG_V_INT, LOG_V_UINT, LOG_V_DOUBLE, LOG_V_BOOL } type;
	const char *key;
	struct str text;
	union {
		long long i;
		unsigned long long u;
		double d;
	};
};

void log_set_level(enum log_level level);
/* False if name is none of debug, info, warn, error. */
MUST_CHECK bool log_level_from(struct str name, enum log_level *out);
/* "slot" and "pid" of every line that follows. */
void log_set_slot(int slot);
uint64_t log_n_dropped(void);
void log_write(enum log_level level, const struct log_ctx *ctx, const char *event, const struct log_value *values, size_t n);

struct log_value log_value_cstr(const char *key, const char *v);
struct log_value log_value_str(const char *key, struct str v);
struct log_value log_value_int(const char *key, long long v);
struct log_value log_value_uint(const char *key, unsigned long long v);
struct log_value log_value_double(const char *key, double v);
struct log_value log_value_bool(const char *key, bool v);

/* clang-format off */
#define LOG_PAIR(k, v) _Generic((v), char *: log_value_cstr, const char *: log_value_cstr, struct str: log_value_str, \
	bool: log_value_bool, float: log_value_double, double: log_value_double,                                      \
	unsigned char: log_value_uint, unsigned short: log_value_uint, unsigned int: log_value_uint,                  \
	unsigned long: log_value_uint, unsigned long long: log_value_uint, default: log_value_int)((k), (v))
#define LOG_0()
#define LOG_2(k, v) LOG_PAIR(k, v)
#define LOG_4(k, v, ...) LOG_PAIR(k, v), LOG_2(__VA_ARGS__)
#define LOG_6(k, v, ...) LOG_PAIR(k, v), LOG_4(__VA_ARGS__)
#define LOG_8(k, v, ...) LOG_PAIR(k, v), LOG_6(__VA_ARGS__)
#define LOG_10(k, v, ...) LOG_PAIR(k, v), LOG_8(__VA_ARGS__)
#define LOG_12(k, v, ...) LOG_PAIR(k, v), LOG_10(__VA_ARGS__)
#define LOG_14(k, v, ...) LOG_PAIR(k, v), LOG_12(__VA_ARGS__)
#define LOG_16(k, v, ...) LOG_PAIR(k, v), LOG_14(__VA_ARGS__)
#define LOG_PICK(_16, _15, _14, _13, _12, _11, _10, _9, _8, _7, _6, _5, _4, _3, _2, _1, _0, name, ...) name
#define LOG_PAIRS(...) LOG_PICK(_, ##__VA_ARGS__, LOG_16, LOG_odd, LOG_14, LOG_odd, LOG_12, LOG_odd, LOG_10, LOG_odd, \
	LOG_8, LOG_odd, LOG_6, LOG_odd, LOG_4, LOG_odd, LOG_2, LOG_odd, LOG_0)(__VA_ARGS__)
#define LOG_AT(level, ctx, event, ...) do {                                                             \
	const struct log_value log_pairs[] = {{.type = LOG_V_NONE}, LOG_PAIRS(__VA_ARGS__)};                \
	log_write((level), (ctx), (event), log_pairs + 1, N_ELEMENTS(log_pairs) - 1);                       \
} while (0)
/* clang-format on */
#define log_debug(ctx, event, ...) LOG_AT(LOG_DEBUG, ctx, event, ##__VA_ARGS__)
#define log_info(ctx, event, ...) LOG_AT(LOG_INFO, ctx, event, ##__VA_ARGS__)
#define log_warn(ctx, event, ...) LOG_AT(LOG_WARN, ctx, event, ##__VA_ARGS__)
#define log_error(ctx, event, ...) LOG_AT(LOG_ERROR, ctx, event, ##__VA_ARGS__)
