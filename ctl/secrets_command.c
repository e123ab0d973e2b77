/* A hundred keys a statement; each is replaced only if it is still what was opened. Run again, it does what is left. */
#include "ctl/secrets_command.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/seal.h"
#include "ctl/accounts.h"
#include "ctl/args.h"
#include "db/agents.h"
#include "db/text_array.h"

const char secrets_help[] =
	"secrets rotate seals the stored keys of providers anew with SECRETS_KEY; what SECRETS_KEY_PREVIOUS has sealed opens for that.\n"
	"  Run it again at any time: keys that are sealed so already are left alone.\n";

#define AT_ONCE "100"

struct rotation {
	struct accounts accounts;
	struct seal seal;
	char last[65]; /* the id that was looked at last */
	int64_t n_keys, n_failed;
};

/* The ids, what is there, and what shall be, as arrays. */
struct batch {
	struct arena arena;
	struct buf ids, was, will;
};

static void add_key(struct rotation *rotation, struct batch *batch, const struct pg_result *rows, size_t i)
{
	struct str id = str_from(pg_sync_value(rows, i, 0)), sealed = str_from(pg_sync_value(rows, i, 1));
	struct str plain = seal_open(&rotation->seal, str_from(pg_sync_value(rows, i, 2)), id, sealed, &batch->arena);

	if (!plain.p) {
		rotation->n_failed++;
		args_fail("The key of agent %.*s does not open, neither with SECRETS_KEY nor with SECRETS_KEY_PREVIOUS; set it anew.",
			  STR_ARG(id));
		return;
	}
	text_array_add(&batch->ids, id);
	text_array_add(&batch->was, sealed);
	text_array_add(&batch->will, seal_close(&rotation->seal, id, plain, &batch->arena));
}

static void end_array(struct buf *array)
{
	text_array_close(array);
	buf_add_char(array, '\0');
}

static int write_batch(struct rotation *rotation, struct batch *batch)
{
	struct pg_result *rows;
	int64_t n = 0;

	end_array(&batch->ids);
	end_array(&batch->was);
	end_array(&batch->will);
	rows = accounts_run(&rotation->accounts, &agents_seal_anew_statement, 8,
			    (const char *const[]){ACCOUNTS_WHO, batch->ids.p, batch->was.p, batch->will.p, rotation->seal.current.id});
	if (!rows)
		return EXIT_FAILED;
	if (str_to_i64(str_from(pg_sync_value(rows, 0, 0)), &n))
		rotation->n_keys += n;
	pg_sync_free(rows);
	return EXIT_FINE;
}

/* EXIT_FINE with *n_rows, or EXIT_FAILED. */
static int rotate_some(struct rotation *rotation, size_t *n_rows)
{
	struct batch batch = {.arena = {0}};
	struct pg_result *rows = accounts_run(&rotation->accounts, &agents_sealed_otherwise_statement, 3,
					      (const char *const[]){rotation->seal.current.id, rotation->last, AT_ONCE});
	int status = EXIT_FINE;

	if (!rows)
		return EXIT_FAILED;
	*n_rows = pg_sync_n_rows(rows);
	for (size_t i = 0; i < *n_rows; i++) {
		add_key(rotation, &batch, rows, i);
		snprintf(rotation->last, sizeof(rotation->last), "%s", pg_sync_value(rows, i, 0));
	}
	if (batch.ids.len)
		status = write_batch(rotation, &batch);
	pg_sync_free(rows);
	arena_fini(&batch.arena);
	buf_fini(&batch.ids);
	buf_fini(&batch.was);
	buf_fini(&batch.will);
	return status;
}

static int rotate(struct rotation *rotation)
{
	size_t n_rows = 1;
	int status = EXIT_FINE;

	seal_init(&rotation->seal, &rotation->accounts.conf);
	if (!seal_possible(&rotation->seal))
		return args_fail("SECRETS_KEY is not set: there is nothing to seal with.");
	while (status == EXIT_FINE && n_rows > 0)
		status = rotate_some(rotation, &n_rows);
	if (rotation->n_keys)
		printf("%" PRId64 " key%s sealed anew.\n", rotation->n_keys, rotation->n_keys == 1 ? " was" : "s were");
	else if (status == EXIT_FINE)
		printf("No key was to be sealed anew.\n");
	return rotation->n_failed ? EXIT_FAILED : status;
}

int secrets_command(const struct args *args)
{
	struct rotation rotation = {.n_keys = 0};
	int status;

	if (args->n != 1 || strcmp(args->words[0], "rotate") != 0)
		return args_refuse("secrets takes one word: rotate.");
	status = accounts_open(&rotation.accounts, args);
	if (status == EXIT_FINE)
		status = rotate(&rotation);
	seal_fini(&rotation.seal);
	accounts_close(&rotation.accounts);
	return status;
}
