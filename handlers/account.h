/* /api/auth: one's own profile and password. */
#pragma once
#include "handlers/flow.h"

extern const struct step profile_steps[], profile_update_steps[], change_password_steps[];
