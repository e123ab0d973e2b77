/* Exponential back-off with jitter. */
#include "base/backoff.h"

#include "base/crypto.h"

void backoff_reset(struct backoff *b)
{
	b->n_failures = 0;
}

uint32_t backoff_next_ms(struct backoff *b)
{
	uint32_t shift = b->n_failures < 20 ? b->n_failures : 20;
	uint64_t wait_ms = (uint64_t)b->base_ms << shift;

	if (wait_ms > b->max_ms)
		wait_ms = b->max_ms;
	if (b->n_failures < UINT32_MAX)
		b->n_failures++;
	return (uint32_t)(wait_ms - crypto_random_below((uint32_t)(wait_ms / 2 + 1)));
}
