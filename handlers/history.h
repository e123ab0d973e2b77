/* What is done with answers that are there: POST /api/chat/history/:chatId/retry, POST /api/chat/feedback; and GET /api/chat/init. */
#pragma once
#include "handlers/flow.h"

extern const struct step history_retry_steps[], feedback_steps[], chat_init_steps[];
