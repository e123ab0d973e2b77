/* For test_breakers.py, compiled by it: makes calls to an agent as far as its breaker is concerned, in the file of a running pool.
 * breaker_says RUN_DIR RESET_MS AGENT WORD...   with WORD: failure, success, neither, hold (never leaves), cool (for a minute)
 * Prints for each call "passed" or "refused". */
#include <stdio.h>
#include <stdlib.h>

#include "base/breaker.h"
#include "base/conf.h"
#include "base/log.h"

static void say(struct breakers *b, struct str agent, const char *word)
{
	static const char *const outcomes[] = {"success", "failure", "neither"};
	struct breaker_pass pass;
	int64_t retry_after_ms;

	if (strcmp(word, "cool") == 0) {
		breaker_cool_down(b, agent, 60000);
		return;
	}
	if (!breaker_enter(b, agent, &pass, &retry_after_ms)) {
		puts("refused");
		return;
	}
	puts("passed");
	for (int i = 0; i < 3; i++)
		if (strcmp(word, outcomes[i]) == 0)
			breaker_leave(b, &pass, (enum breaker_outcome)i);
}

int main(int argc, char **argv)
{
	struct conf conf = {.breaker_failures = 5, .breaker_successes = 3, .request_timeout_ms = 30000};
	struct breakers *b;

	if (argc < 5)
		return 2;
	log_set_level(LOG_ERROR);
	conf.breaker_reset_ms = atoi(argv[2]);
	b = breakers_open(argv[1], &conf);
	for (int i = 4; i < argc; i++)
		say(b, str_from(argv[3]), argv[i]);
	breakers_close(b);
	return 0;
}
