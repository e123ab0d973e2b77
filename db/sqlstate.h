/* What PostgreSQL's error codes mean to us (PostgreSQL manual, appendix A). */
#pragma once
#include <stdbool.h>

/* -ERR_CONFLICT, -ERR_DB_UNAVAILABLE (trying again later can help) or -ERR_INTERNAL (it cannot). */
int sqlstate_to_err(const char *sqlstate);
/* The connection is of no more use: its server goes away, or has become read-only. */
bool sqlstate_ends_connection(const char *sqlstate);
/* The connection and we disagree on what is prepared: the schema has changed, or a pooler has given us another session. */
bool sqlstate_is_stale_plan(const char *sqlstate, bool prepared_earlier);
/* The message names columns and tables of our statements and cannot quote a value. */
bool sqlstate_may_be_quoted(const char *sqlstate);
