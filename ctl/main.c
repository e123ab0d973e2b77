/* llmchatctl: the operator's tool. One table of commands; each reads the same configuration as the responders. */
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "ctl/args.h"
#include "ctl/breakers_command.h"
#include "ctl/db_command.h"
#include "ctl/migrate_command.h"
#include "ctl/pool_commands.h"
#include "ctl/secrets_command.h"
#include "ctl/token_command.h"
#include "ctl/user_command.h"

static int help(const struct args *args);

static const struct command {
	const char *name;
	int (*run)(const struct args *args); /* returns the exit status */
	const char *usage, *summary;
} commands[] = {
	{"migrate", migrate_command, "migrate [--status] [--sql-dir DIR]",
	 "bring the database to the tables of this version, or show where it is"},
	{"db", db_command, "db status | db explain [NAME]", "what PostgreSQL says of itself, and of our statements"},
	{"pool", pool_command, "pool [--json]", "show the responders of this host and what they do"},
	{"turns", turns_command, "turns", "show the live turns of this host"},
	{"stop", stop_command, "stop ANSWER_ID", "end a live turn; what has come is kept"},
	{"breakers", breakers_command, "breakers list | reset AGENT_ID|--all", "agents that are shut out for failing, and an end to it"},
	{"log-level", log_level_command, "log-level LEVEL [--slot N]", "debug, info, warn or error, until the responder ends"},
	{"user", user_command, "user ACTION ...", "people who log in: add, list, passwd, disable, enable, grant, unlock"},
	{"token", token_command, "token issue [--user NAME] [--count N]", "access tokens for scripts and load tests"},
	{"secrets", secrets_command, "secrets rotate", "seal the stored keys of providers anew, with another SECRETS_KEY"},
	{"help", help, "help", "print this"},
};

static int help(const struct args *args)
{
	if (args->n > 0)
		return args_refuse("help takes no arguments.");
	printf("Usage: llmchatctl [--env-file FILE] COMMAND\n\n");
	for (size_t i = 0; i < N_ELEMENTS(commands); i++)
		printf("  %-38s %s\n", commands[i].usage, commands[i].summary);
	printf("\nThe configuration is the environment and FILE (or $LLMCHAT_ENV_FILE); the environment wins.\n"
	       "Exit status: 0 all is well, 1 it failed or something is wrong, 2 the command line was not "
	       "understood.\n\n%s\n%s\n%s\n%s\n%s\n%s",
	       migrate_help, db_help, breakers_help, user_help, token_help, secrets_help);
	return EXIT_FINE;
}

static int run(struct args *args)
{
	const char *name;

	if (args->n == 0)
		return args_refuse("Which command?");
	name = args->words[0];
	args->words++;
	args->n--;
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return help(args);
	for (size_t i = 0; i < N_ELEMENTS(commands); i++) {
		if (strcmp(name, commands[i].name) != 0)
			continue;
		for (int j = 0; j < args->n; j++)
			if (strcmp(args->words[j], "--help") == 0)
				return help(&(struct args){.n = 0});
		return commands[i].run(args);
	}
	return args_refuse("There is no %s %s.", name[0] == '-' ? "option" : "command", name);
}

/* Takes out what every command understands; returns an exit status, or -1 to go on. */
static int take_common(struct args *args)
{
	struct args all = *args;

	args->n = 0;
	for (int i = 0; i < all.n; i++) {
		int found = args_option(&all, &i, "--env-file", &args->env_file);

		if (found < 0)
			return EXIT_USAGE;
		if (!found)
			args->words[args->n++] = all.words[i];
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct args args = {argc - 1, argv + 1, getenv("LLMCHAT_ENV_FILE")};
	int status;

	if (args.env_file && !*args.env_file)
		args.env_file = NULL;
	crypto_init();
	status = take_common(&args);
	if (status < 0)
		status = run(&args);
	if (fflush(stdout) != 0 && status == EXIT_FINE)
		status = EXIT_FAILED;
	return status;
}
