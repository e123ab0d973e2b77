/* /api/admin/agents/breakers: the circuit breakers of this host, and closing them by hand. */
#pragma once
#include "handlers/flow.h"

extern const struct step admin_breakers_steps[], admin_breaker_reset_steps[], admin_breakers_reset_steps[];
