/* GET /v1/models and /v1/models/:id: the active agents that the caller may use, as models. */
#pragma once
#include "handlers/flow.h"

extern const struct step v1_models_list_steps[], v1_models_get_steps[];
