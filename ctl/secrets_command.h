/* llmchatctl secrets: what is stored sealed, keys of providers. */
#pragma once

struct args;

extern const char secrets_help[];
/* Returns the exit status. */
int secrets_command(const struct args *args);
