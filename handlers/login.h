/* /api/auth: logging in and out, new access tokens, who am I. */
#pragma once
#include "handlers/flow.h"

extern const struct step login_steps[], refresh_steps[], logout_steps[], verify_steps[], register_steps[];
