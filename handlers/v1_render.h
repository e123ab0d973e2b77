/* How an answer looks on /v1: chunks of a stream, or one chat.completion. */
#pragma once

struct answer_event;
struct buf;
struct chat_view;
struct turn;

/* Appends what an event is to OpenAI's clients; it may be nothing. */
void v1_render_event(struct buf *out, struct chat_view *view, const struct answer_event *event);
/* Appends a whole answer. */
void v1_render_plain(struct buf *out, const struct turn *turn);
