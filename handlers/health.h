/* GET /health, /health/ready, /health/stream. */
#pragma once
#include "handlers/flow.h"

extern const struct step health_steps[], health_ready_steps[], health_stream_steps[];
