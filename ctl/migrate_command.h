/* llmchatctl migrate: applies what is pending of the numbered files, each in one transaction together with its row. */
#pragma once

struct args;

extern const char migrate_help[];
/* Returns the exit status. */
int migrate_command(const struct args *args);
