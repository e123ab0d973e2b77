/* The parser of model names. It depends on nothing else here, so that its tests stand alone. */
#include "sim/script.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A directive is letters, then digits if it takes a number. A word without a number stands for `min`. */
struct directive {
	const char *word;
	bool takes_number;
	int min;
	int max;
	size_t field; /* offset of an int in struct script */
};

#define NUMBER(word, min, max, field)                                                                                                      \
	{                                                                                                                                  \
		word, true, min, max, offsetof(struct script, field)                                                                       \
	}
#define WORD(word, value, field)                                                                                                           \
	{                                                                                                                                  \
		word, false, value, value, offsetof(struct script, field)                                                                  \
	}

enum { MAX_MS = 3600 * 1000 };

static const struct directive directives[] = {
    NUMBER("n", 0, SCRIPT_MAX_TOKENS, n_tokens),
    NUMBER("d", 0, MAX_MS, gap_ms),
    NUMBER("first", 0, MAX_MS, first_ms),
    WORD("en", SCRIPT_EN, text),
    WORD("zh", SCRIPT_ZH, text),
    WORD("emoji", SCRIPT_EMOJI, text),
    WORD("echo", SCRIPT_ECHO, text),
    WORD("bytes", 1, byte_writes),
    NUMBER("size", 1, SCRIPT_MAX_TOKEN_BYTES, token_bytes),
    NUMBER("err", 400, 599, error_status),
    NUMBER("ra", 0, 86400, retry_after_s),
    WORD("hang", 1, hang),
    NUMBER("stall", 0, SCRIPT_MAX_TOKENS, stall_after),
    NUMBER("cut", 0, SCRIPT_MAX_TOKENS, cut_after),
    NUMBER("mid", 0, SCRIPT_MAX_TOKENS, error_after),
    NUMBER("garbage", 0, SCRIPT_MAX_TOKENS, garbage_after),
    NUMBER("badutf", 0, SCRIPT_MAX_TOKENS, bad_utf8_after),
    NUMBER("bigline", 0, SCRIPT_MAX_TOKENS, line_after),
    WORD("noend", 1, no_end),
    WORD("nodone", 1, no_done),
    WORD("nousage", 1, no_usage),
    NUMBER("reason", 0, SCRIPT_MAX_TOKENS, n_reasoning),
    WORD("nullchoices", 1, null_choices),
    WORD("nul", 1, nul),
    WORD("lenStop", 1, length_stop),
    WORD("html", 1, html),
    WORD("tool", 1, tool),
    NUMBER("tools", 1, 100, n_tools),
    WORD("refuse", 1, refusal),
    NUMBER("steps", 0, 1000, n_steps),
    WORD("form", 1, form),
    WORD("replace", 1, replace),
    NUMBER("every", 1, 1000000, every),
};

enum { N_DIRECTIVES = sizeof(directives) / sizeof(directives[0]) };

static const struct directive *find(const char *text, size_t len)
{
	size_t n_letters = 0;

	while (n_letters < len && !(text[n_letters] >= '0' && text[n_letters] <= '9'))
		n_letters++;
	for (size_t i = 0; i < N_DIRECTIVES; i++) {
		const struct directive *directive = &directives[i];

		if (strlen(directive->word) != n_letters || memcmp(directive->word, text, n_letters) != 0)
			continue;
		return directive->takes_number || n_letters == len ? directive : NULL;
	}
	return NULL;
}

/* Reads all of text as a number from min to max. */
static bool read_number(const char *text, size_t len, const struct directive *directive, int *value)
{
	long long number = 0;

	if (!len || len > 9)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		number = number * 10 + (text[i] - '0');
	}
	*value = (int)number;
	return number >= directive->min && number <= directive->max;
}

/* seen has a bit for every field already set: `n5-n6` or `zh-emoji` would depend on their order. */
static int apply(struct script *script, const char *text, size_t len, unsigned *seen, char *why, size_t why_size)
{
	const struct directive *directive = find(text, len);
	int value;
	unsigned bit;

	if (!directive) {
		snprintf(why, why_size, "the simulator knows no directive '%.*s'", (int)len, text);
		return -1;
	}
	value = directive->min;
	if (directive->takes_number) {
		size_t n_letters = strlen(directive->word);

		if (!read_number(text + n_letters, len - n_letters, directive, &value)) {
			snprintf(why, why_size, "the directive '%.*s' needs a whole number from %d to %d after '%s'", (int)len, text,
				 directive->min, directive->max, directive->word);
			return -1;
		}
	}
	bit = 1u << (directive->field / sizeof(int));
	if (*seen & bit) {
		snprintf(why, why_size, "the directive '%.*s' contradicts or repeats an earlier one", (int)len, text);
		return -1;
	}
	*seen |= bit;
	memcpy((char *)script + directive->field, &value, sizeof(value));
	return 0;
}

static bool saw(unsigned seen, size_t field)
{
	return seen & (1u << (field / sizeof(int)));
}

void script_spare(struct script *script)
{
	script->error_status = script->hang = script->html = script->no_end = script->no_done = 0;
	script->retry_after_s = script->stall_after = script->cut_after = script->error_after = SCRIPT_NEVER;
	script->garbage_after = script->bad_utf8_after = script->line_after = SCRIPT_NEVER;
}

int script_parse(struct script *script, const char *name, char *why, size_t why_size)
{
	unsigned seen = 0;
	const char *at = name + 3;

	_Static_assert(sizeof(struct script) / sizeof(int) <= 32, "seen has a bit for each field");
	*script = (struct script){
	    .n_tokens = SCRIPT_NEVER,
	    .gap_ms = 50,
	    .retry_after_s = SCRIPT_NEVER,
	    .stall_after = SCRIPT_NEVER,
	    .cut_after = SCRIPT_NEVER,
	    .error_after = SCRIPT_NEVER,
	    .garbage_after = SCRIPT_NEVER,
	    .bad_utf8_after = SCRIPT_NEVER,
	    .line_after = SCRIPT_NEVER,
	};
	if (strlen(name) > SCRIPT_NAME_MAX_BYTES) {
		snprintf(why, why_size, "the name is longer than %d bytes", SCRIPT_NAME_MAX_BYTES);
		return -1;
	}
	if (strncmp(name, "sim", 3) != 0 || (name[3] && name[3] != '-')) {
		snprintf(why, why_size, "a simulated model is named 'sim' or 'sim-' and its directives");
		return -1;
	}
	while (*at) {
		size_t len = strcspn(++at, "-");

		if (apply(script, at, len, &seen, why, why_size) < 0)
			return -1;
		at += len;
	}
	if (script->retry_after_s != SCRIPT_NEVER && !script->error_status) {
		snprintf(why, why_size, "the directive 'ra%d' needs an error to go with", script->retry_after_s);
		return -1;
	}
	script->first_given = saw(seen, offsetof(struct script, first_ms));
	if (!script->first_given)
		script->first_ms = script->gap_ms;
	return 0;
}
