/* POST /v1/chat/completions: a turn as OpenAI's clients ask for it. */
#pragma once
#include "handlers/flow.h"

extern const struct step v1_chat_steps[];
