/* The lists, one after the other. */
#include "db/statements.h"

#include "db/query.h"

static const struct statement *const *const lists[] = {
	agents_statements,
	audit_statements,
	budgets_statements,
	changes_statements,
	credentials_statements,
	idempotency_statements,
	keys_statements,
	logins_statements,
	messages_statements,
	retention_statements,
	search_statements,
	sessions_statements,
	turn_sql_statements,
	usage_statements,
	users_statements,
};

const struct statement *statements_at(size_t i)
{
	for (size_t l = 0; l < N_ELEMENTS(lists); l++)
		for (size_t j = 0; lists[l][j]; j++)
			if (i-- == 0)
				return lists[l][j];
	return NULL;
}

const struct statement *statements_find(struct str name)
{
	const struct statement *stmt;

	for (size_t i = 0; (stmt = statements_at(i)); i++)
		if (str_eq_cstr(name, stmt->name))
			return stmt;
	return NULL;
}
