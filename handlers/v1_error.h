/* How a refusal looks to clients of OpenAI: {"error":{message,type,param,code}}, and headers that say whether to try again. */
#pragma once
#include "base/str.h"

struct buf;

/* The object of a refusal, without a line's end; field and sentence may be NULL, the latter is the error's own then. */
void v1_put_error(struct buf *out, int err, const char *field, const char *sentence);
/* Header lines that a refusal has besides those of everybody; retry_after_s is -1 if nobody knows. */
void v1_put_error_headers(struct buf *out, int err, int retry_after_s);
