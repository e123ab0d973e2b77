/* Copies of sessions in the cache: under their owner and chatId, and no other name. What changes a session drops its copy; a turn that goes on
 * with one does. */
#pragma once
#include "cache/cache.h"

struct session_copy_id {
	char text[CACHE_ID_MAX + 1];
};

/* The id to ask for and to drop. user_id: a UUID; chat_id: as people may call a session. */
struct str session_copy_id(struct session_copy_id *id, struct str user_id, struct str chat_id);
/* Without waiting for it. */
void session_copy_drop(struct cache *cache, struct str user_id, struct str chat_id);
