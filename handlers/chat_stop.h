/* POST /api/chat/messages/:id/stop: an owner wants no more of an answer, wherever on this host it is being written. */
#pragma once
#include "handlers/flow.h"

extern const struct step chat_stop_steps[];
