/* The parts of a request, each with its length before it. */
#include "chat/turn_hash.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "chat/turn.h"

enum { N_FIXED = 13, PER_MESSAGE = 5 };

static void hash(const char *what, const struct str *parts, size_t n, char out[TURN_HASH_SIZE])
{
	unsigned char mac[CRYPTO_MAC_BYTES];

	crypto_mac(str_from(what), parts, n, mac);
	crypto_base64(mac, sizeof(mac), out);
}

void turn_hash(const struct turn_request *request, struct str agent_id, char out[TURN_HASH_SIZE])
{
	struct str *parts = mem_alloc((N_FIXED + request->n_messages * PER_MESSAGE) * sizeof(*parts));
	char temperature[32] = "", limits[32], flags[] = {request->anonymous ? 'a' : 'u', request->with_history ? 'h' : '-'};
	size_t n = 0;

	if (request->has_temperature)
		snprintf(temperature, sizeof(temperature), "%.17g", request->temperature);
	snprintf(limits, sizeof(limits), "%lld%s", (long long)request->max_tokens, request->limits_completion ? "c" : "");
	parts[n++] = request->user_id;
	parts[n++] = (struct str){flags, sizeof(flags)};
	parts[n++] = request->agents;
	parts[n++] = agent_id;
	parts[n++] = request->chat_id;
	parts[n++] = request->retry_session_id;
	parts[n++] = request->retry_question_id;
	parts[n++] = request->question_client_id;
	parts[n++] = request->answer_client_id;
	parts[n++] = str_from(temperature);
	parts[n++] = str_from(limits);
	parts[n++] = request->variables;
	parts[n++] = request->extra;
	for (size_t i = 0; i < request->n_messages; i++) {
		const struct llm_message *m = &request->messages[i];

		parts[n++] = m->role;
		parts[n++] = m->content;
		parts[n++] = m->parts;
		parts[n++] = m->extra;
		parts[n++] = m->no_content ? STR("none") : STR("");
	}
	hash("llmchat turn 1", parts, n, out);
	free(parts);
}

void turn_key_hash(struct str owner_id, struct str key, char out[TURN_HASH_SIZE])
{
	hash("llmchat key 1", (const struct str[]){owner_id, key}, 2, out);
}
