/* /api/auth: logging in and out, new access tokens, who am I, what is possible without an account. */
#pragma once
#include "db/logins.h"
#include "handlers/flow.h"

extern const struct step login_steps[], refresh_steps[], logout_steps[], verify_steps[], register_steps[], auth_options_steps[];

/* Answers whoever was not let in: too many failures, or the password is wrong. */
enum flow_next refuse_login(struct request *r, enum login_verdict verdict);
