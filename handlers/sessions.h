/* One session and its messages, read: GET /api/chat/sessions/:id/messages, /api/chat/history/:chatId, /api/chat-sessions/:id and /stats. */
#pragma once
#include "handlers/flow.h"

extern const struct step sessions_messages_steps[], sessions_history_steps[], sessions_get_steps[], sessions_stats_steps[];
