/* Configuration: one table of names, types, defaults and bounds. The environment wins over the env file.
 * A value out of range, or a name in the file that is nearly one of ours, is refused with a sentence. */
#pragma once
#include <stdio.h>

#include "base/str.h"

/* Shorthands of the table's bounds. */
#define CONF_HOUR_MS 3600000
#define CONF_MIB 1048576LL

/* Kinds: TEXT(min..max characters), INT, NUMBER, BOOL. Flags: SECRET is never shown.
 *  kind   field                     name                                 default        min   max            flag    what it is for */
#define CONF_TABLE(X)                                                                                                                     \
	X(INT,    port,                    "PORT",                              "3001",        1,    65535,         PLAIN,  "port of the site that nginx serves; quickstart uses it")                      \
	X(TEXT,   environment,             "NODE_ENV",                          "production",  1,    32,            PLAIN,  "shown as `environment` by /health; changes nothing else")                     \
	X(TEXT,   frontend_url,            "FRONTEND_URL",                      "",            0,    512,           PLAIN,  "origin of the web page, for CORS")                                            \
	X(INT,    rate_limit_points,       "RATE_LIMIT_POINTS",                 "1000",        1,    1000000,       PLAIN,  "requests of one identity per RATE_LIMIT_DURATION")                            \
	X(INT,    rate_limit_duration_s,   "RATE_LIMIT_DURATION",               "60",          1,    86400,         PLAIN,  "seconds that RATE_LIMIT_POINTS count for")                                    \
	X(INT,    rate_limit_block_s,      "RATE_LIMIT_BLOCK_DURATION",         "60",          0,    86400,         PLAIN,  "seconds of refusal once the points are used up")                              \
	X(INT,    rate_limit_max_requests, "RATE_LIMIT_MAX_REQUESTS",           "1000",        1,    1000000,       PLAIN,  "requests of one client address per RATE_LIMIT_WINDOW_MS")                     \
	X(INT,    rate_limit_window_ms,    "RATE_LIMIT_WINDOW_MS",              "60000",       1000, 86400000,      PLAIN,  "milliseconds that RATE_LIMIT_MAX_REQUESTS count for")                         \
	X(INT,    request_timeout_ms,      "REQUEST_TIMEOUT",                   "30000",       100,  600000,        PLAIN,  "milliseconds to the first event of a stream, and for a whole plain answer")   \
	X(TEXT,   db_host,                 "DB_HOST",                           "localhost",   1,    255,           PLAIN,  "PostgreSQL: host name, address, or directory of its unix socket")             \
	X(INT,    db_port,                 "DB_PORT",                           "5432",        1,    65535,         PLAIN,  "PostgreSQL: port")                                                            \
	X(TEXT,   db_user,                 "DB_USER",                           "llmchat",     1,    63,            PLAIN,  "PostgreSQL: role")                                                            \
	X(TEXT,   db_password,             "DB_PASSWORD",                       "",            0,    255,           SECRET, "PostgreSQL: password")                                                        \
	X(TEXT,   db_name,                 "DB_NAME",                           "llmchat",     1,    63,            PLAIN,  "PostgreSQL: database")                                                        \
	X(INT,    db_max_connections,      "DB_MAX_CONNECTIONS",                "50",          4,    1000,          PLAIN,  "connections of all responders of this host together; two are kept for llmchatctl and jobs") \
	X(INT,    db_min_connections,      "DB_MIN_CONNECTIONS",                "5",           1,    1000,          PLAIN,  "connections kept open by all responders together")                            \
	X(INT,    db_idle_timeout_ms,      "DB_IDLE_TIMEOUT",                   "30000",       1000, CONF_HOUR_MS,  PLAIN,  "milliseconds after which a connection above the minimum is closed")           \
	X(INT,    db_connection_timeout_ms,"DB_CONNECTION_TIMEOUT",             "10000",       100,  120000,        PLAIN,  "milliseconds to connect, and to wait for a free connection")                  \
	X(INT,    db_statement_timeout_ms, "DB_STATEMENT_TIMEOUT",              "10000",       100,  600000,        PLAIN,  "milliseconds a statement may take before its connection is dropped")          \
	X(INT,    slow_query_ms,           "SLOW_QUERY_MS",                     "1000",        0,    600000,        PLAIN,  "milliseconds from which a statement is logged as slow, by its name; 0: none is") \
	X(TEXT,   db_sslmode,              "DB_SSLMODE",                        "prefer",      4,    11,            PLAIN,  "PostgreSQL: disable, allow, prefer, require, verify-ca or verify-full")       \
	X(BOOL,   db_prepared,             "DB_PREPARED",                       "on",          0,    0,             PLAIN,  "prepared statements; off behind PgBouncer in transaction mode")               \
	X(TEXT,   redis_host,              "REDIS_HOST",                        "localhost",   0,    255,           PLAIN,  "Redis: host name, address, or path of its unix socket; empty: do without Redis") \
	X(INT,    redis_port,              "REDIS_PORT",                        "6379",        1,    65535,         PLAIN,  "Redis: port")                                                                 \
	X(TEXT,   redis_password,          "REDIS_PASSWORD",                    "",            0,    255,           SECRET, "Redis: password")                                                             \
	X(INT,    redis_db,                "REDIS_DB",                          "0",           0,    1023,          PLAIN,  "Redis: number of the database")                                               \
	X(INT,    redis_max_retries,       "REDIS_MAX_RETRIES",                 "10",          0,    1000,          PLAIN,  "quick reconnects before the slow, steady ones")                               \
	X(INT,    redis_command_timeout_ms,"REDIS_COMMAND_TIMEOUT",             "200",         10,   10000,         PLAIN,  "milliseconds a command may take before the connection is dropped and Redis is done without") \
	X(INT,    breaker_failures,        "CIRCUIT_BREAKER_FAILURE_THRESHOLD", "5",           1,    1000,          PLAIN,  "failures in a row that open an agent's breaker")                              \
	X(INT,    breaker_successes,       "CIRCUIT_BREAKER_SUCCESS_THRESHOLD", "3",           1,    1000,          PLAIN,  "successes that close it again")                                               \
	X(INT,    breaker_timeout_ms,      "CIRCUIT_BREAKER_TIMEOUT",           "10000",       100,  600000,        PLAIN,  "milliseconds without response headers that count as a failure; an agent's timeouts.headersMs may say otherwise") \
	X(INT,    breaker_reset_ms,        "CIRCUIT_BREAKER_RESET_TIMEOUT",     "30000",       100,  CONF_HOUR_MS,  PLAIN,  "milliseconds an open breaker waits before it lets a call try")                \
	X(INT,    retry_max,               "RETRY_MAX_RETRIES",                 "3",           0,    10,            PLAIN,  "further tries of a provider call before its first event")                     \
	X(INT,    retry_base_ms,           "RETRY_BASE_DELAY",                  "1000",        10,   60000,         PLAIN,  "milliseconds before the first further try")                                   \
	X(INT,    retry_max_ms,            "RETRY_MAX_DELAY",                   "10000",       10,   600000,        PLAIN,  "milliseconds before any further try, at most")                                \
	X(NUMBER, retry_factor,            "RETRY_BACKOFF_FACTOR",              "2",           1,    10,            PLAIN,  "growth of that delay from try to try")                                        \
	X(BOOL,   retry_jitter,            "RETRY_ENABLE_JITTER",               "true",        0,    0,             PLAIN,  "a random part is taken off that delay")                                       \
	X(BOOL,   sentry_enabled,          "SENTRY_ENABLED",                    "false",       0,    0,             PLAIN,  "report errors to Sentry")                                                     \
	X(TEXT,   sentry_dsn,              "SENTRY_DSN",                        "",            0,    512,           SECRET, "where to report them")                                                        \
	X(NUMBER, sentry_traces_rate,      "SENTRY_TRACES_SAMPLE_RATE",         "0",           0,    1,             PLAIN,  "share of requests whose trace is reported")                                   \
	X(NUMBER, sentry_profiles_rate,    "SENTRY_PROFILES_SAMPLE_RATE",       "0",           0,    1,             PLAIN,  "accepted for compatibility: there is no profile of a C program to send")      \
	X(TEXT,   log_level,               "LOG_LEVEL",                         "info",        4,    5,             PLAIN,  "debug, info, warn or error")                                                  \
	X(TEXT,   token_secret,            "TOKEN_SECRET",                      "",            0,    512,           SECRET, "signs tokens and cookies; required, at least 32 bytes")                       \
	X(TEXT,   token_secret_previous,   "TOKEN_SECRET_PREVIOUS",             "",            0,    512,           SECRET, "the secret before this one: tokens it has signed stay valid; empty, or at least 32 bytes") \
	X(INT,    access_token_ttl_s,      "ACCESS_TOKEN_TTL",                  "3600",        60,   86400,         PLAIN,  "seconds that an access token is valid for")                                   \
	X(INT,    refresh_token_ttl_s,     "REFRESH_TOKEN_TTL",                 "2592000",     60,   31536000,      PLAIN,  "seconds without a refresh after which a login ends")                          \
	X(INT,    login_max_failures,      "LOGIN_MAX_FAILURES",                "5",           1,    1000,          PLAIN,  "wrong passwords in a row after which a name is locked")                       \
	X(INT,    login_lockout_s,         "LOGIN_LOCKOUT",                     "900",         1,    86400,         PLAIN,  "seconds that it is locked, and that a wrong password counts for")             \
	X(INT,    login_rate_max,          "LOGIN_RATE_LIMIT_MAX",              "50",          1,    1000000,       PLAIN,  "failed logins of one client address per LOGIN_RATE_LIMIT_WINDOW")             \
	X(INT,    login_rate_window_s,     "LOGIN_RATE_LIMIT_WINDOW",           "900",         1,    86400,         PLAIN,  "seconds that LOGIN_RATE_LIMIT_MAX counts for")                                \
	X(BOOL,   allow_registration,      "ALLOW_REGISTRATION",                "false",       0,    0,             PLAIN,  "people may make accounts themselves")                                         \
	X(TEXT,   admin_username,          "ADMIN_USERNAME",                    "",            0,    64,            PLAIN,  "with ADMIN_PASSWORD: made an administrator while there is none at all")       \
	X(TEXT,   admin_password,          "ADMIN_PASSWORD",                    "",            0,    1024,          SECRET, "of that first administrator; at least 8 characters; take it away afterwards") \
	X(TEXT,   secrets_key,             "SECRETS_KEY",                       "",            0,    512,           SECRET, "seals stored provider keys; at least 32 bytes")                               \
	X(TEXT,   secrets_key_previous,    "SECRETS_KEY_PREVIOUS",              "",            0,    512,           SECRET, "the key before this one: what it has sealed still opens; empty, or at least 32 bytes") \
	X(BOOL,   chat_anonymous,          "CHAT_ANONYMOUS",                    "false",       0,    0,             PLAIN,  "people may chat without login; a signed cookie owns their sessions")          \
	X(TEXT,   agents_config_path,      "AGENTS_CONFIG_PATH",                "config/agents.json", 1, 4096,     PLAIN,  "file whose agents are created if they do not exist yet")                      \
	X(TEXT,   provider_ca_file,        "PROVIDER_CA_FILE",                  "",            0,    4096,          PLAIN,  "PEM file of the certificate authorities trusted for providers, in place of the system's; empty: the system's") \
	X(TEXT,   run_dir,                 "RUN_DIR",                           "/run/llmchat", 1,   80,            PLAIN,  "sockets and locks that the responders of this host share")                    \
	X(INT,    responders,              "RESPONDERS",                        "0",           0,    64,            PLAIN,  "size of the pool; 0: one for each core, at least two")                        \
	X(TEXT,   node_name,               "NODE_NAME",                         "",            0,    128,           PLAIN,  "name of this host among those that share the database; empty: its host name") \
	X(INT,    drain_timeout_ms,        "DRAIN_TIMEOUT",                     "30000",       0,    CONF_HOUR_MS,  PLAIN,  "milliseconds that a stopping responder gives its turns")                      \
	X(INT,    stream_idle_ms,          "STREAM_IDLE_TIMEOUT",               "60000",       100,  CONF_HOUR_MS,  PLAIN,  "milliseconds of silence that end a stream")                                   \
	X(INT,    stream_total_ms,         "STREAM_TOTAL_TIMEOUT",              "300000",      100,  86400000,      PLAIN,  "milliseconds a stream may take altogether")                                   \
	X(INT,    max_answer_bytes,        "MAX_ANSWER_BYTES",                  "8388608",     1024, 64 * CONF_MIB, PLAIN,  "one answer, at most")                                                         \
	X(INT,    max_answers_bytes,       "MAX_ANSWERS_BYTES",                 "268435456",   CONF_MIB, 16384LL * CONF_MIB, PLAIN, "all live answers of one responder, at most")                              \
	X(INT,    max_buffered_bytes,      "MAX_BUFFERED_BYTES",                "67108864",    CONF_MIB, 16384LL * CONF_MIB, PLAIN, "request bodies held by one responder, at most")                           \
	X(INT,    audit_retention_days,    "AUDIT_RETENTION_DAYS",              "90",          1,    3650,          PLAIN,  "days that entries of the audit log are kept")                                 \
	X(INT,    retention_days,          "RETENTION_DAYS",                    "30",          1,    3650,          PLAIN,  "days that deleted sessions are kept, and can be restored")                     \
	X(INT,    max_concurrent,          "MAX_CONCURRENT_REQUESTS",           "1000",        1,    1000000,       PLAIN,  "chat turns at once in all responders of this host together")

/* clang-format off */
#define CONF_TYPE_TEXT   const char *
#define CONF_TYPE_INT    int64_t
#define CONF_TYPE_NUMBER double
#define CONF_TYPE_BOOL   bool
/* clang-format on */

struct conf_entry;

struct conf {
#define X(kind, field, name, otherwise, min, max, flag, doc) CONF_TYPE_##kind field;
	CONF_TABLE(X)
#undef X
	struct conf_entry *file; /* owned: what the env file says, for conf_lookup */
};

/* Reads the environment and the env file (path NULL: none). Returns 0, or -1 with a sentence for the operator in why. */
MUST_CHECK int conf_load(struct conf *conf, const char *path, char *why, size_t why_size);
void conf_fini(struct conf *conf);
/* A variable by name as the environment or the env file has it, also names that are not ours; NULL if neither does. */
const char *conf_lookup(const struct conf *conf, const char *name);
/* The same for texts that others may write: NULL for our own secrets, so that no agent's address can carry them away. */
const char *conf_lookup_public(const struct conf *conf, const char *name);
/* Prints the table. */
void conf_print_help(FILE *out);
/* Prints NAME=value for every name; secrets as (set) or (not set). */
void conf_print(const struct conf *conf, FILE *out);

/* What of a host's budget falls to one of n members: budget/n, the remainder to low slots (slot counts from 1), at least 1. */
int64_t conf_share(int64_t budget, int64_t n, int64_t slot);

/* Parses one line of an env file in place: 1 with name and value, 0 for a blank line or comment, -1 if it is neither.
 * Values may stand in single or double quotes; "export " before the name is allowed; # after a blank starts a comment. */
MUST_CHECK int conf_parse_line(char *line, char **name, char **value);
