/* Counting requests in this process alone, for as long as Redis is away. A table of fixed size: what was counted least makes room. */
#pragma once
#include "base/str.h"

/* limit requests in window_ms from the first one; then none until the window is over, and for at least block_ms. */
struct limit_rule {
	int64_t limit, window_ms, block_ms;
};

/* How many requests have been counted, this one among them (above the limit: refused), and when counting begins anew. */
struct limit_count {
	int64_t n, left_ms;
};

struct local_limit;
struct local_limit *local_limit_new(void);
void local_limit_free(struct local_limit *l); /* NULL is fine */
/* Counts one request of key (at most LOCAL_LIMIT_KEY bytes of it); now_us is any clock that does not go back. */
struct limit_count local_limit_count(struct local_limit *l, struct str key, const struct limit_rule *rule, uint64_t now_us);
/* Adds amount to what is counted for key, and begins a window if there is none; less than nothing gives back, 0 only looks. */
struct limit_count local_limit_add(struct local_limit *l, struct str key, int64_t window_ms, int64_t amount, uint64_t now_us);

enum { LOCAL_LIMIT_KEY = 88, LOCAL_LIMIT_SETS = 512, LOCAL_LIMIT_WAYS = 8 };
