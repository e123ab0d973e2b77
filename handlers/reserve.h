/* The step "reserve": what the turn that is about to begin may take of its agent's and its API key's limits. Between chat_question_* and
 * chat_begin_start. */
#pragma once
#include "handlers/flow.h"

struct request;

enum flow_next reserve_start(struct request *r);
enum flow_next reserve_finish(struct request *r);
