/* GET /api/chat/sessions/:id/messages. */
#pragma once
#include "handlers/flow.h"

extern const struct step sessions_messages_steps[];
