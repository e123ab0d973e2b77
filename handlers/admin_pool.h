/* /api/admin/pool: the responders of this host and their live turns, and stopping one wherever it lives. */
#pragma once
#include "handlers/flow.h"

extern const struct step admin_pool_steps[], admin_stop_turn_steps[];
