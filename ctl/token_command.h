/* llmchatctl token: access tokens for scripts and load tests, each with a login of its own, by which it can be revoked. */
#pragma once

struct args;

extern const char token_help[];
/* Returns the exit status. */
int token_command(const struct args *args);
