/* POST /api/chat/completions, streamed and plain. */
#pragma once
#include "handlers/flow.h"

extern const struct step chat_steps[];
