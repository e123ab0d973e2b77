/* Every way a request can be refused: one table gives HTTP status, public code and sentence. Functions return -ERR_*. */
#pragma once
#include <stdbool.h>

#include "base/str.h"

/*  name                  status  public code                 sentence  */
#define ERR_TABLE(X)                                                                                                   \
	X(VALIDATION,          400, "VALIDATION_ERROR",         "The request is not valid.")                            \
	X(MALFORMED_JSON,      400, "MALFORMED_JSON",           "The body is not valid JSON.")                          \
	X(AUTH_REQUIRED,       401, "AUTHENTICATION_REQUIRED",  "Please log in first.")                                 \
	X(TOKEN_EXPIRED,       401, "TOKEN_EXPIRED",            "This login has expired; please log in again.")         \
	X(TOKEN_INVALID,       401, "TOKEN_INVALID",            "This login is not valid; please log in again.")        \
	X(INVALID_CREDENTIALS, 401, "INVALID_CREDENTIALS",      "The name or the password is wrong.")                   \
	X(FORBIDDEN,           403, "FORBIDDEN",                "You may not do this.")                                 \
	X(ADMIN_REQUIRED,      403, "ADMIN_REQUIRED",           "Only administrators may do this.")                     \
	X(ROUTE_NOT_FOUND,     404, "ROUTE_NOT_FOUND",          "There is nothing at this address.")                    \
	X(AGENT_NOT_FOUND,     404, "AGENT_NOT_FOUND",          "There is no active agent with this id.")               \
	X(SESSION_NOT_FOUND,   404, "SESSION_NOT_FOUND",        "There is no such session.")                            \
	X(MESSAGE_NOT_FOUND,   404, "MESSAGE_NOT_FOUND",        "There is no such message in this session.")            \
	X(USER_NOT_FOUND,      404, "USER_NOT_FOUND",           "There is no such user.")                               \
	X(TURN_NOT_FOUND,      404, "TURN_NOT_FOUND",           "No live turn writes this answer.")                     \
	X(KEY_NOT_FOUND,       404, "KEY_NOT_FOUND",            "There is no such key.")                                \
	X(METHOD_NOT_ALLOWED,  405, "METHOD_NOT_ALLOWED",       "This address does not take this method.")              \
	X(CONFLICT,            409, "CONFLICT",                 "This conflicts with what is already there.")           \
	X(KEY_REUSED,          409, "IDEMPOTENCY_KEY_REUSED",   "This Idempotency-Key belongs to another request.")     \
	X(TOO_LARGE,           413, "PAYLOAD_TOO_LARGE",        "The body is too large.")                               \
	X(MEDIA_TYPE,          415, "UNSUPPORTED_MEDIA_TYPE",   "The body must be application/json.")                   \
	X(ACCOUNT_LOCKED,      423, "ACCOUNT_LOCKED",           "Too many failed logins; this account is locked for a while.") \
	X(RATE_LIMITED,        429, "RATE_LIMIT_EXCEEDED",      "Too many requests; please wait a little.")             \
	X(INTERNAL,            500, "INTERNAL",                 "Something went wrong on our side.")                    \
	X(UPSTREAM,            502, "UPSTREAM_ERROR",           "The model's provider failed.")                         \
	X(UPSTREAM_AUTH,       502, "UPSTREAM_AUTH",            "The model's provider refused our key; please tell the operator.") \
	X(UPSTREAM_LIMIT,      429, "UPSTREAM_RATE_LIMITED",    "The model's provider asks us to slow down.")           \
	X(DB_UNAVAILABLE,      503, "DB_UNAVAILABLE",           "The database cannot be reached at the moment.")        \
	X(OVERLOADED,          503, "OVERLOADED",               "Too much is going on at the moment.")                  \
	X(CIRCUIT_OPEN,        503, "CIRCUIT_BREAKER_OPEN",     "The model's provider has failed several times in a row; it is left alone for a moment.") \
	X(DRAINING,            503, "DRAINING",                 "This server is about to restart.")                     \
	X(UPSTREAM_TIMEOUT,    504, "UPSTREAM_TIMEOUT",         "The model's provider took too long.")                  \
	/* below: never sent to people, only between our own parts */                                                  \
	X(CANCELLED,           499, "CANCELLED",                "The request was cancelled.")                           \
	X(NO_ANSWER,           504, "NO_ANSWER",                "The other process does not answer.")                  \
	X(REDIS_AWAY,          503, "REDIS_AWAY",               "Redis cannot be asked at the moment.")

enum err {
	ERR_NONE,
#define X(name, status, code, sentence) ERR_##name,
	ERR_TABLE(X)
#undef X
	N_ERRS
};

struct err_info {
	const char *code;
	int status;
	const char *sentence;
};

/* Takes either sign; anything unknown is ERR_INTERNAL. */
const struct err_info *err_info(int err);
/* The error with this public code, positive; ERR_INTERNAL if there is none. */
int err_of_code(struct str code);
/* Does this errno say that we have run out of descriptors or memory ourselves? Then nobody else is to blame. */
bool err_is_shortage(int errnum);
/* Trying the same again later can help. */
bool err_retryable(int err);
