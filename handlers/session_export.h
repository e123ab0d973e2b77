/* GET /api/chat-sessions/:id/export. */
#pragma once
#include "handlers/flow.h"

extern const struct step session_export_steps[];
