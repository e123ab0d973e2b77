/* What the migrations of sql/ mean for a database: names, order, comparison. Pure: no files, no database (see migrate_command.h). */
#pragma once
#include "base/buf.h"

enum { MIGRATE_NAME_SIZE = 128, MIGRATE_CHECKSUM_SIZE = 65, MIGRATE_CHECKSUM_SHOWN = 12, MIGRATE_TIME_SIZE = 32 };

/* A file NNNN_name.sql. */
struct migration {
	int version;
	char name[MIGRATE_NAME_SIZE];         /* the file's name without ".sql" */
	char checksum[MIGRATE_CHECKSUM_SIZE]; /* SHA-256, hexadecimal */
	struct buf sql;                       /* owned */
};

/* A row of schema_migrations. */
struct migration_row {
	int version;
	char name[MIGRATE_NAME_SIZE], checksum[MIGRATE_CHECKSUM_SIZE], applied_at[MIGRATE_TIME_SIZE];
};

/* Both sorted by version. */
struct migrate_plan {
	struct migration *files;    /* owned */
	struct migration_row *rows; /* owned */
	size_t n_files, n_rows;
};

enum migrate_state { MIGRATE_APPLIED, MIGRATE_PENDING, MIGRATE_CHANGED, MIGRATE_MISSING };

/* 1: NNNN_name.sql, version and name are set; 0: no migration, not ours to judge; -1: starts like one, but is none. */
MUST_CHECK int migrate_parse_name(const char *file_name, int *version, char name[MIGRATE_NAME_SIZE]);
/* Does the file ask to be run outside a transaction? Its first line says so: "-- migrate: no-transaction". */
bool migrate_wants_no_transaction(struct str sql);
/* The line (from 1) of the position-th character (from 1, as PostgreSQL counts) of UTF-8 text. */
size_t migrate_line_of(struct str sql, size_t position);

/* Appends a file with its text, which is taken over (sql is empty afterwards), and its checksum. */
void migrate_add_file(struct migrate_plan *plan, int version, const char *name, struct buf *sql);
void migrate_add_row(struct migrate_plan *plan, const struct migration_row *row);
void migrate_sort(struct migrate_plan *plan);
void migrate_fini(struct migrate_plan *plan);

/* NULL if there is none. */
const struct migration *migrate_file(const struct migrate_plan *plan, int version);
const struct migration_row *migrate_row(const struct migrate_plan *plan, int version);
/* Of a version that has a file, a row or both. */
enum migrate_state migrate_state(const struct migrate_plan *plan, int version);
/* The highest version that either knows. */
int migrate_last_version(const struct migrate_plan *plan);
/* May the files without a row be applied, in order? 0, or -1 with a sentence in why. */
MUST_CHECK int migrate_check(const struct migrate_plan *plan, char *why, size_t why_size);
