/* The word: the level in fifths of a retry, and up to when time has added to it. */
#include "base/retry_budget.h"

#include <stdatomic.h>

#include "base/clock.h"

enum {
	FIFTHS = 5,
	FLOOR = RETRY_BUDGET_FLOOR * FIFTHS,
	CEILING = RETRY_BUDGET_CEILING * FIFTHS,
	FIFTH_MS = 200,
	LEVEL_BITS = 16,
	SKEW_MS = 1000, /* another process's time may be a little ahead of one that was read just before */
};

struct budget {
	uint64_t level, at_ms;
};

/* What cannot be (from a damaged file) is a new one. */
static struct budget unpack(uint64_t word, uint64_t now_ms)
{
	struct budget budget = {word & ((1U << LEVEL_BITS) - 1), word >> LEVEL_BITS};

	if (budget.at_ms == 0 || budget.at_ms > now_ms + SKEW_MS || budget.level > CEILING)
		budget = (struct budget){FLOOR, now_ms};
	return budget;
}

static void fill_by_time(struct budget *budget, uint64_t now_ms)
{
	uint64_t n = now_ms > budget->at_ms ? (now_ms - budget->at_ms) / FIFTH_MS : 0;

	if (budget->level + n < FLOOR) {
		budget->level += n;
		budget->at_ms += n * FIFTH_MS;
	} else {
		budget->level = budget->level < FLOOR ? FLOOR : budget->level;
		budget->at_ms = now_ms;
	}
}

/* What a call adds, time does not add again. */
static void fill_by_call(struct budget *budget, uint64_t now_ms)
{
	budget->level += budget->level < CEILING;
	budget->at_ms = budget->at_ms + FIFTH_MS < now_ms ? budget->at_ms + FIFTH_MS : now_ms;
}

void retry_budget_add(_Atomic uint64_t *word)
{
	uint64_t now_ms = clock_mono_us() / 1000, old = atomic_load(word);
	struct budget budget;

	do {
		budget = unpack(old, now_ms);
		fill_by_call(&budget, now_ms);
		fill_by_time(&budget, now_ms);
	} while (!atomic_compare_exchange_weak(word, &old, budget.level | budget.at_ms << LEVEL_BITS));
}

bool retry_budget_take(_Atomic uint64_t *word)
{
	uint64_t now_ms = clock_mono_us() / 1000, old = atomic_load(word);
	struct budget budget;

	do {
		budget = unpack(old, now_ms);
		fill_by_time(&budget, now_ms);
		if (budget.level < FIFTHS)
			return false;
		budget.level -= FIFTHS;
	} while (!atomic_compare_exchange_weak(word, &old, budget.level | budget.at_ms << LEVEL_BITS));
	return true;
}
