/* llmchatctl user: people who log in. */
#pragma once

struct args;

extern const char user_help[];
/* Returns the exit status. */
int user_command(const struct args *args);
