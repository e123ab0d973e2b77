/* Secrets that are stored and must be read again (keys of providers), as text that is worth nothing without SECRETS_KEY. */
#pragma once
#include "base/arena.h"
#include "base/crypto.h"

struct conf;

enum { SEAL_KEY_ID_SIZE = 17, SEAL_MAX_BYTES = 8192 };

/* What seals: made of one value of SECRETS_KEY. Its id tells which value that was, and nothing of it. */
struct seal_key {
	unsigned char key[CRYPTO_KEY_BYTES];
	char id[SEAL_KEY_ID_SIZE]; /* empty: there is no such key */
};

/* The keys of a configuration: the current one seals, both open. */
struct seal {
	struct seal_key current, previous;
};

/* Of SECRETS_KEY and SECRETS_KEY_PREVIOUS. Wipe it with seal_fini. */
void seal_init(struct seal *seal, const struct conf *conf);
void seal_fini(struct seal *seal);
static inline bool seal_possible(const struct seal *seal)
{
	return seal->current.id[0] != '\0';
}

/* Seals plain (SEAL_MAX_BYTES at most) with the current key, which there must be. `about` says whose it is, such as an agent's id: what is
 * moved to another place does not open there. The result, URL-safe base64, lives in the arena. */
struct str seal_close(const struct seal *seal, struct str about, struct str plain, struct arena *arena);
/* Opens what the key of this id has sealed. The result lives in the arena, with a NUL after it; an empty str with p == NULL says that it
 * does not open: no key of this id, another `about`, or not what was sealed. */
MUST_CHECK struct str seal_open(const struct seal *seal, struct str key_id, struct str about, struct str sealed, struct arena *arena);
