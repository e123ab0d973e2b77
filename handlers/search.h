/* GET /api/chat-sessions/search. */
#pragma once
#include "handlers/flow.h"

extern const struct step search_steps[];
