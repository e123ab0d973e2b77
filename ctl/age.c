/* In whole units, of which there are at least two. */
#include "ctl/age.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"

const char *age(int64_t ms, char out[AGE_SIZE])
{
	static const struct {
		int64_t ms;
		char unit;
	} units[] = {{86400000, 'd'}, {3600000, 'h'}, {60000, 'm'}, {1000, 's'}};
	size_t i = 0;

	while (i + 1 < N_ELEMENTS(units) && ms < 2 * units[i].ms)
		i++;
	snprintf(out, AGE_SIZE, "%" PRId64 "%c", ms / units[i].ms, units[i].unit);
	return out;
}
