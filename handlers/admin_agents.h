/* What administrators do with one agent, and reloading all. /api/agents/import is in handlers/agents_import.h. */
#pragma once
#include "handlers/flow.h"

extern const struct step admin_agents_create_steps[], admin_agents_update_steps[], admin_agents_delete_steps[];
extern const struct step admin_agents_reload_steps[], admin_agents_validate_steps[];
