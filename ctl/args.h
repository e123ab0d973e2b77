/* The command line of llmchatctl: what its commands share. */
#pragma once
#include "base/str.h"

enum { EXIT_FINE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct conf;

/* One command's words, without those that every command understands. */
struct args {
	int n;
	char **words;         /* borrowed */
	const char *env_file; /* borrowed; NULL: the environment alone */
};

/* Is word i the option `name` with a value ("--name VALUE" or "--name=VALUE")? Then 1, *value is set and *i is its last word; 0 if
 * it is something else; -1 if the value is missing: the user has been told. */
MUST_CHECK int args_option(const struct args *args, int *i, const char *name, const char **value);
/* Tells the user on stderr what is wrong with the command line; returns EXIT_USAGE. */
int args_refuse(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Tells the user on stderr, in a whole sentence, why it failed; returns EXIT_FAILED. */
int args_fail(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Reads the configuration; 0, or EXIT_FAILED after telling the user why not. conf_fini(conf) either way. */
MUST_CHECK int args_load_conf(const struct args *args, struct conf *conf);
