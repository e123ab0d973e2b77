/* For db/turn_writes.c: its statements. Fields of many turns come as arrays of the same length, one for each field. */
#pragma once
#include "db/query.h"

enum { N_BEGIN_ARRAYS = 17, N_END_ARRAYS = 11, N_NEWS_ARRAYS = 5 };

extern const struct statement open_turns, begin_turns, begin_keyed_turn, retry_turn, retry_keyed_turn, end_turns, end_turns_with_news, end_turns_with_budget;
