/* API keys: one's own under /api/auth/keys, everybody's under /api/admin/keys. */
#pragma once
#include "handlers/flow.h"

extern const struct step keys_list_steps[], keys_create_steps[], keys_revoke_steps[];
extern const struct step admin_keys_list_steps[], admin_keys_revoke_steps[];
