/* llmchatctl db: what PostgreSQL says of itself, and how it would run our statements. It only reads. */
#pragma once

struct args;

extern const char db_help[];
/* Returns the exit status. */
int db_command(const struct args *args);
