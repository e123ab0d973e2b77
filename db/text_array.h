/* PostgreSQL's text form of an array (manual, 8.15.2), element by element; any type that is written as text. */
#pragma once
#include "base/buf.h"

void text_array_add(struct buf *array, struct str element);
void text_array_add_int(struct buf *array, int64_t element);
void text_array_add_null(struct buf *array);
/* After the last element; also right for none. */
void text_array_close(struct buf *array);
