/* GET /api/agents, /api/agents/:id and its status: what everybody may know of agents, and more for administrators. */
#pragma once
#include "handlers/flow.h"

extern const struct step agents_list_steps[], agents_get_steps[], agents_status_steps[];
