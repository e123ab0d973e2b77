/* /api/admin/stats and /api/admin/analytics: sums of usage per day (db/usage.h); no message is counted here. */
#pragma once
#include "handlers/flow.h"

extern const struct step admin_stats_steps[], admin_overview_steps[], admin_trends_steps[], admin_usage_agents_steps[];
