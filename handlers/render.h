/* How an answer looks on /api: its events as server-sent events, or all of it as one object. */
#pragma once
#include "chat/answer.h"

struct turn;

/* Appends one event with its id (the offset of its first byte). */
void render_event(struct buf *out, const struct answer_event *event);
/* Appends the data of a plain answer. */
void render_plain(struct buf *out, const struct turn *turn);
