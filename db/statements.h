/* All statements of the program by name, for whoever wants to look at one: each file of db/ lists its own at its end, and
 * tests/statements.sh sees to it that none is left out. */
#pragma once
#include <stddef.h>

#include "base/str.h"

struct statement;

/* One list a file, with NULL behind the last. */
extern const struct statement *const agents_statements[];
extern const struct statement *const audit_statements[];
extern const struct statement *const budgets_statements[];
extern const struct statement *const changes_statements[];
extern const struct statement *const credentials_statements[];
extern const struct statement *const idempotency_statements[];
extern const struct statement *const keys_statements[];
extern const struct statement *const logins_statements[];
extern const struct statement *const messages_statements[];
extern const struct statement *const retention_statements[];
extern const struct statement *const search_statements[];
extern const struct statement *const sessions_statements[];
extern const struct statement *const turn_sql_statements[];
extern const struct statement *const usage_statements[];
extern const struct statement *const users_statements[];

/* The i-th of all, in no order that means anything; NULL behind the last. */
const struct statement *statements_at(size_t i);
/* NULL if there is none of that name. */
const struct statement *statements_find(struct str name);
