/* GET /health, /health/ready, /health/stream, and /health/detailed of the whole host. */
#pragma once
#include "handlers/flow.h"

extern const struct step health_steps[], health_ready_steps[], health_stream_steps[], health_detailed_steps[];
