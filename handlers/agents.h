/* GET /api/agents and /api/agents/:id: what everybody may know of an agent. */
#pragma once
#include "handlers/flow.h"

extern const struct step agents_list_steps[], agents_get_steps[];
