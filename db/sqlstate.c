/* PostgreSQL's error codes. */
#include "db/sqlstate.h"

#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

static bool starts_with_any(const char *sqlstate, const char *const *prefixes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strncmp(sqlstate, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

int sqlstate_to_err(const char *sqlstate)
{
	static const char *const passing[] = {
		"08",    /* connection exception */
		"57P0",  /* shutting down, crashed, starting up */
		"53",    /* out of connections, memory, disk */
		"40",    /* deadlock, serialization failure */
		"55P03", /* lock timeout */
		"57014", /* cancelled by the server's own limits or an operator */
		"25006", /* read-only: the server has become a standby */
	};

	if (strcmp(sqlstate, "23505") == 0)
		return -ERR_CONFLICT;
	return starts_with_any(sqlstate, passing, N_ELEMENTS(passing)) ? -ERR_DB_UNAVAILABLE : -ERR_INTERNAL;
}

bool sqlstate_ends_connection(const char *sqlstate)
{
	static const char *const ending[] = {"08", "57P0", "25006"};

	return starts_with_any(sqlstate, ending, N_ELEMENTS(ending));
}

bool sqlstate_is_stale_plan(const char *sqlstate, bool prepared_earlier)
{
	if (strcmp(sqlstate, "0A000") == 0) /* "cached plan must not change result type", but other things as well */
		return prepared_earlier;
	return strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0; /* not there, or there already */
}

bool sqlstate_may_be_quoted(const char *sqlstate)
{
	static const char *const ours[] = {"42", "57P0", "53"};

	return starts_with_any(sqlstate, ours, N_ELEMENTS(ours));
}
