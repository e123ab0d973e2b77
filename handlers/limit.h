/* The shared steps that count a request: by its address and, as soon as it is known, by who asks. Above a limit it is refused with 429. */
#pragma once
#include <stdint.h>

#include "handlers/flow.h"

struct buf;
struct request;

/* "limit", before anybody is asked who it is, and "limit_identity" after that. */
enum flow_next limit_start(struct request *r);
enum flow_next limit_finish(struct request *r);
enum flow_next limit_identity_start(struct request *r);
/* Whole seconds, at least one, as they are told. */
int limit_seconds(int64_t ms);
/* X-RateLimit-Limit, -Remaining and -Reset of a request that has been counted; to OpenAI's clients as that writes them. */
void limit_put_headers(const struct request *r, struct buf *out);
