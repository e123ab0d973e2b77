/* Names of copies. */
#include "chat/session_copy.h"

#include <stdio.h>

struct str session_copy_id(struct session_copy_id *id, struct str user_id, struct str chat_id)
{
	int n = snprintf(id->text, sizeof(id->text), "%.*s:%.*s", STR_ARG(user_id), STR_ARG(chat_id));

	/* An administrator may write the owner's id in capitals; chatIds are told apart by them. */
	for (size_t i = 0; i < user_id.len && id->text[i]; i++)
		if (id->text[i] >= 'A' && id->text[i] <= 'F')
			id->text[i] = (char)(id->text[i] | 0x20);
	return (struct str){id->text, (size_t)n < sizeof(id->text) ? (size_t)n : sizeof(id->text) - 1};
}

void session_copy_drop(struct cache *cache, struct str user_id, struct str chat_id)
{
	struct session_copy_id id = {.text = ""};

	cache_drop(cache, CACHE_SESSION, session_copy_id(&id, user_id, chat_id));
}
