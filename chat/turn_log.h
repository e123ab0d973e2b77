/* What a turn writes into its answer's log: the beginning, the provider's events, the end. It changes no state of the turn. */
#pragma once
#include "llm/provider.h"

struct turn;

/* chatId and start, when the provider's first event is there. */
void turn_log_open(struct turn *turn);
/* One event of the provider; notes usage and finish reason. -ERR_TOO_LARGE if the answer becomes too large. */
MUST_CHECK int turn_log_add(struct turn *turn, const struct llm_event *event);
/* The provider did not say what it cost, or was not heard to the end: counts from the text, so that leaving early is not free. */
void turn_log_estimate_usage(struct turn *turn);
/* The last events; only when the ending is stored, or queued to be. */
void turn_log_end(struct turn *turn);
