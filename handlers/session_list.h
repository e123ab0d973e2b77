/* Lists of sessions: GET /api/chat-sessions and /api/chat/history. */
#pragma once
#include "handlers/flow.h"

extern const struct step session_list_steps[];
