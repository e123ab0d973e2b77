/* Opaque secrets with a prefix that says what they open. */
#include "base/secret.h"

#include <assert.h>

void secret_make(const char *prefix, char out[SECRET_SIZE])
{
	unsigned char bytes[SECRET_RANDOM_BYTES];

	assert(strlen(prefix) == SECRET_PREFIX_LEN && crypto_base64_size(sizeof(bytes)) == SECRET_SIZE - SECRET_PREFIX_LEN);
	memcpy(out, prefix, SECRET_PREFIX_LEN);
	crypto_random(bytes, sizeof(bytes));
	crypto_base64(bytes, sizeof(bytes), out + SECRET_PREFIX_LEN);
	crypto_wipe(bytes, sizeof(bytes));
}

bool secret_valid(const char *prefix, struct str text)
{
	unsigned char bytes[SECRET_RANDOM_BYTES];
	bool valid = text.len == SECRET_LEN && str_starts(text, str_from(prefix)) &&
		     crypto_from_base64(str_skip(text, SECRET_PREFIX_LEN), bytes, sizeof(bytes));

	crypto_wipe(bytes, sizeof(bytes));
	return valid;
}

void secret_hash(struct str text, char out[SECRET_HASH_SIZE])
{
	crypto_sha256_hex(text, out);
}

void secret_shown(struct str text, char out[SECRET_SHOWN_SIZE])
{
	assert(text.len >= SECRET_SHOWN_SIZE - 1);
	memcpy(out, text.p, SECRET_SHOWN_SIZE - 1);
	out[SECRET_SHOWN_SIZE - 1] = '\0';
}
