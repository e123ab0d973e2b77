/* /api/admin/users. */
#pragma once
#include "handlers/flow.h"

extern const struct step admin_users_list_steps[], admin_users_get_steps[], admin_users_create_steps[], admin_users_update_steps[];
extern const struct step admin_users_reset_password_steps[], admin_users_revoke_steps[];
