/* llmchatctl pool, turns, stop and log-level: what the responders of this host do, and what they can be told meanwhile. */
#pragma once

struct args;

/* Each returns the exit status. */
int pool_command(const struct args *args);
int turns_command(const struct args *args);
int stop_command(const struct args *args);
int log_level_command(const struct args *args);
