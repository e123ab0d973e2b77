/* llmchatctl breakers: which agents are shut out on this host, and letting them be called again. */
#pragma once

struct args;

extern const char breakers_help[];

/* Returns the exit status. */
int breakers_command(const struct args *args);
