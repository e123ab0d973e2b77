/* POST /api/agents/import: many agents at once, all or none. */
#pragma once
#include "handlers/flow.h"

extern const struct step agents_import_steps[];
