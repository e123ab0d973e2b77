/* A budget of retries in one word, which processes may share: each first call adds a fifth of a retry. All zero: it is full to its floor.
 * Where there are less than five calls a second, time adds what is missing to one retry a second, up to RETRY_BUDGET_FLOOR. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { RETRY_BUDGET_FLOOR = 10, RETRY_BUDGET_CEILING = 100 };

void retry_budget_add(_Atomic uint64_t *word);
/* Takes a whole one, if there is one. */
MUST_CHECK bool retry_budget_take(_Atomic uint64_t *word);
