/* Options, refusals and the configuration of llmchatctl's commands. */
#include "ctl/args.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/conf.h"

int args_option(const struct args *args, int *i, const char *name, const char **value)
{
	const char *word = args->words[*i];
	size_t len = strlen(name);

	if (strncmp(word, name, len) != 0 || (word[len] != '\0' && word[len] != '='))
		return 0;
	if (word[len] == '=')
		*value = word + len + 1;
	else if (*i + 1 < args->n)
		*value = args->words[++*i];
	else
		*value = "";
	if (**value)
		return 1;
	args_refuse("%s needs a value.", name);
	return -1;
}

int args_refuse(const char *fmt, ...)
{
	va_list ap;

	fputs("llmchatctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputs(" See: llmchatctl --help\n", stderr);
	return EXIT_USAGE;
}

int args_fail(const char *fmt, ...)
{
	va_list ap;

	fputs("llmchatctl: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_FAILED;
}

int args_load_conf(const struct args *args, struct conf *conf)
{
	char why[512];

	if (conf_load(conf, args->env_file, why, sizeof(why)) == 0)
		return 0;
	fprintf(stderr, "llmchatctl: %s\n", why);
	return EXIT_FAILED;
}
