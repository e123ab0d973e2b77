/* The text that the stand-in provider says, made again here to compare with. */
#include <stdio.h>

#include "bench/check.h"

static void set_word(struct check_text *t)
{
	t->word_len = (size_t)snprintf(t->word, sizeof(t->word), "tok%zu ", t->n_tokens);
}

void check_text_begin(struct check_text *t)
{
	*t = (struct check_text){0};
	set_word(t);
}

static bool step_byte(struct check_text *t, const struct check_plan *plan, char c)
{
	size_t size = plan->token_bytes ? plan->token_bytes : t->word_len;

	/* A sized token is the word over and over; all of it is ASCII, so it is never filled with dots. */
	if (c != t->word[t->at % t->word_len])
		return false;
	if (++t->at == size) {
		t->at = 0;
		t->n_tokens++;
		set_word(t);
	}
	return true;
}

bool check_text_step(struct check_text *t, const struct check_plan *plan, struct str json, size_t *used)
{
	size_t i;

	for (i = 0; i < json.len && json.p[i] != '"'; i++) {
		if (plan->text && !step_byte(t, plan, json.p[i])) /* an escape too: none is needed in this text */
			return false;
		if (json.p[i] == '\\')
			i++;
	}
	*used = i;
	return i < json.len;
}

bool check_text_whole(const struct check_text *t, const struct check_plan *plan)
{
	return !plan->text || (t->at == 0 && (plan->n_tokens == 0 || t->n_tokens == plan->n_tokens));
}
