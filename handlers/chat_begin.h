/* From a question to an answer that can be read: a turn that begins, one that is live already because somebody asked the same, or an
 * answer that is stored. */
#pragma once
#include "handlers/chat.h"

/* Fills in who asks, and whom. Borrows what chat borrows until it says NEXT; then r->body is gone and the request reads an answer. It may
 * say WAIT: the step's finish is chat_begin_finish, the next one {"read_answer", chat_read_start, chat_read_finish}. r->query is
 * emptied before that. Refuses an agent that is not there or not open to the key. words must outlive the request. */
enum flow_next chat_begin(struct request *r, const struct chat_words *words, const struct chat_request *chat);
/* The same after body_start: reads what words say first. */
enum flow_next chat_read_and_begin(struct request *r, const struct chat_words *words);
enum flow_next chat_begin_finish(struct request *r);
