/* Random opaque secrets: API keys and refresh tokens. They are shown to their owner once and stored only as a hash; 32 random bytes
 * cannot be guessed, so a plain SHA-256 is enough for that (a slow hash is for what people choose). */
#pragma once
#include "base/crypto.h"

#define SECRET_API_KEY       "sk-"
#define SECRET_REFRESH_TOKEN "rt-"

enum {
	SECRET_PREFIX_LEN = 3,
	SECRET_RANDOM_BYTES = 32,
	SECRET_LEN = SECRET_PREFIX_LEN + 43, /* 32 bytes are 43 characters */
	SECRET_SIZE = SECRET_LEN + 1,
	SECRET_HASH_SIZE = 2 * CRYPTO_HASH_BYTES + 1,
	SECRET_SHOWN_SIZE = 8 + 1
};

/* Makes one: the prefix (one of the above) and 43 characters of URL-safe base64. Wipe it (crypto_wipe) once it has been given out. */
void secret_make(const char *prefix, char out[SECRET_SIZE]);
/* Could secret_make(prefix) have made text? A cheap look before anything is looked up; it says nothing of who owns it. */
MUST_CHECK bool secret_valid(const char *prefix, struct str text);
/* What is stored and looked up: SHA-256 of the whole text, in lower-case hex. */
void secret_hash(struct str text, char out[SECRET_HASH_SIZE]);
/* What lists show, so that people can tell their keys apart: the first 8 characters ("sk-AbCdE"). text is a valid secret. */
void secret_shown(struct str text, char out[SECRET_SHOWN_SIZE]);
