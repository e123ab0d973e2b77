/* Names, order and comparison of migrations. */
#include "ctl/migrate.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/mem.h"

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

int migrate_parse_name(const char *file_name, int *version, char name[MIGRATE_NAME_SIZE])
{
	size_t len = strlen(file_name), digits = strspn(file_name, "0123456789");

	if (!is_digit(file_name[0]))
		return 0;
	if (digits != 4 || file_name[4] != '_' || len < sizeof("0001_a.sql") - 1 || len - 4 >= MIGRATE_NAME_SIZE ||
	    strcmp(file_name + len - 4, ".sql") != 0 || strspn(file_name + 5, "abcdefghijklmnopqrstuvwxyz0123456789_-") != len - 9)
		return -1;
	*version = atoi(file_name);
	snprintf(name, MIGRATE_NAME_SIZE, "%.*s", (int)(len - 4), file_name);
	return *version > 0 ? 1 : -1;
}

bool migrate_wants_no_transaction(struct str sql)
{
	struct str line = str_cut(&sql, '\n');

	if (line.len && line.p[line.len - 1] == '\r')
		line.len--;
	return str_eq(str_trim(line), STR("-- migrate: no-transaction"));
}

size_t migrate_line_of(struct str sql, size_t position)
{
	size_t line = 1, n_chars = 0;

	for (size_t i = 0; i < sql.len; i++) {
		n_chars += ((unsigned char)sql.p[i] & 0xc0) != 0x80;
		if (n_chars >= position)
			break;
		line += sql.p[i] == '\n';
	}
	return line;
}

void migrate_add_file(struct migrate_plan *plan, int version, const char *name, struct buf *sql)
{
	struct migration *m;

	plan->files = mem_resize(plan->files, (plan->n_files + 1) * sizeof(*plan->files));
	m = &plan->files[plan->n_files++];
	*m = (struct migration){.version = version, .sql = *sql};
	snprintf(m->name, sizeof(m->name), "%s", name);
	crypto_sha256_hex(buf_str(sql), m->checksum);
	*sql = (struct buf){NULL, 0, 0};
}

void migrate_add_row(struct migrate_plan *plan, const struct migration_row *row)
{
	plan->rows = mem_resize(plan->rows, (plan->n_rows + 1) * sizeof(*plan->rows));
	plan->rows[plan->n_rows++] = *row;
}

static int compare_files(const void *a, const void *b)
{
	const struct migration *x = a, *y = b;

	return x->version != y->version ? x->version - y->version : strcmp(x->name, y->name);
}

static int compare_rows(const void *a, const void *b)
{
	return ((const struct migration_row *)a)->version - ((const struct migration_row *)b)->version;
}

void migrate_sort(struct migrate_plan *plan)
{
	if (plan->n_files)
		qsort(plan->files, plan->n_files, sizeof(*plan->files), compare_files);
	if (plan->n_rows)
		qsort(plan->rows, plan->n_rows, sizeof(*plan->rows), compare_rows);
}

void migrate_fini(struct migrate_plan *plan)
{
	for (size_t i = 0; i < plan->n_files; i++)
		buf_fini(&plan->files[i].sql);
	free(plan->files);
	free(plan->rows);
	*plan = (struct migrate_plan){NULL, NULL, 0, 0};
}

const struct migration *migrate_file(const struct migrate_plan *plan, int version)
{
	for (size_t i = 0; i < plan->n_files; i++)
		if (plan->files[i].version == version)
			return &plan->files[i];
	return NULL;
}

const struct migration_row *migrate_row(const struct migrate_plan *plan, int version)
{
	for (size_t i = 0; i < plan->n_rows; i++)
		if (plan->rows[i].version == version)
			return &plan->rows[i];
	return NULL;
}

enum migrate_state migrate_state(const struct migrate_plan *plan, int version)
{
	const struct migration *file = migrate_file(plan, version);
	const struct migration_row *row = migrate_row(plan, version);

	if (!file)
		return MIGRATE_MISSING;
	if (!row)
		return MIGRATE_PENDING;
	return strcmp(file->checksum, row->checksum) == 0 ? MIGRATE_APPLIED : MIGRATE_CHANGED;
}

static int last_file(const struct migrate_plan *plan)
{
	return plan->n_files ? plan->files[plan->n_files - 1].version : 0;
}

static int last_row(const struct migrate_plan *plan)
{
	return plan->n_rows ? plan->rows[plan->n_rows - 1].version : 0;
}

int migrate_last_version(const struct migrate_plan *plan)
{
	return last_file(plan) > last_row(plan) ? last_file(plan) : last_row(plan);
}

/* What was applied must still be what the files say. */
static int check_rows(const struct migrate_plan *plan, char *why, size_t why_size)
{
	for (size_t i = 0; i < plan->n_rows; i++) {
		const struct migration_row *row = &plan->rows[i];
		const struct migration *file = migrate_file(plan, row->version);

		if (row->version > last_file(plan)) {
			snprintf(why, why_size,
				 "the database is at %04d, but the files end at %04d: it was migrated by a newer version of LLMChat (%s)",
				 last_row(plan), last_file(plan), row->name);
			return -1;
		}
		if (!file) {
			snprintf(why, why_size, "%s.sql was applied to this database, but the file is missing", row->name);
			return -1;
		}
		if (migrate_state(plan, row->version) == MIGRATE_CHANGED) {
			snprintf(why, why_size,
				 "%s.sql was changed after it was applied: its checksum was %.*s, now it is %.*s. "
				 "Restore the file and put the change into a new one",
				 file->name, MIGRATE_CHECKSUM_SHOWN, row->checksum, MIGRATE_CHECKSUM_SHOWN, file->checksum);
			return -1;
		}
	}
	return 0;
}

/* 0001, 0002, 0003 … without a gap, and what is pending comes after all that was applied. */
static int check_files(const struct migrate_plan *plan, char *why, size_t why_size)
{
	for (size_t i = 0; i < plan->n_files; i++) {
		const struct migration *m = &plan->files[i];

		if (i > 0 && m->version == m[-1].version) {
			snprintf(why, why_size, "%s.sql and %s.sql have the same number", m[-1].name, m->name);
			return -1;
		}
		if (m->version != (int)i + 1) {
			snprintf(why, why_size, "there is a gap: %04d is missing before %s.sql", (int)i + 1, m->name);
			return -1;
		}
		if (m->version < last_row(plan) && !migrate_row(plan, m->version)) {
			snprintf(why, why_size, "%s.sql was not applied, but the later %s.sql was", m->name,
				 plan->rows[plan->n_rows - 1].name);
			return -1;
		}
	}
	return 0;
}

int migrate_check(const struct migrate_plan *plan, char *why, size_t why_size)
{
	return check_rows(plan, why, why_size) != 0 ? -1 : check_files(plan, why, why_size);
}
