/* llmchatctl migrate: applies what is pending of the numbered files, each in one transaction together with its row. */
#pragma once
#include "base/str.h"

struct args;
struct migrate_plan;
struct pg_sync;

extern const char migrate_help[];
/* Returns the exit status. */
int migrate_command(const struct args *args);
/* Where the database is and what the files are (sql_dir NULL: those that were installed). An exit status; the user has been told why it failed.
 * migrate_fini(plan) either way. */
MUST_CHECK int migrate_read(struct pg_sync *db, const char *sql_dir, struct migrate_plan *plan);
