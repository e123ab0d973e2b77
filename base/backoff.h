/* Exponential back-off with jitter, for reconnecting. */
#pragma once
#include <stdint.h>

struct backoff {
	uint32_t base_ms, max_ms;
	uint32_t n_failures;
};

void backoff_reset(struct backoff *b);
/* Counts a failure and returns how long to wait: base·2^failures up to max, of which a random half is taken off, so that many who failed together do not come back together. */
uint32_t backoff_next_ms(struct backoff *b);
