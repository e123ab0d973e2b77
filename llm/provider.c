/* The list of providers. */
#include "llm/provider.h"

static const struct provider *const providers[] = {&provider_openai, &provider_custom, &provider_anthropic, &provider_dify,
						   &provider_fastgpt};

const struct provider *provider_named(struct str name)
{
	for (size_t i = 0; i < N_ELEMENTS(providers); i++)
		if (str_eq_cstr(name, providers[i]->name))
			return providers[i];
	return NULL;
}

bool provider_takes(const struct provider *p, const struct llm_message *messages, size_t n, struct arena *arena, size_t *which, struct str *why)
{
	for (*which = 0; *which < n && p->takes_parts; (*which)++)
		if (messages[*which].parts.len && !p->takes_parts(messages[*which].parts, arena, why))
			return false;
	return true;
}
