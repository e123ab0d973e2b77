/* Keys derived from the configuration's; base64 around what base/crypto seals. */
#include "base/seal.h"

#include <assert.h>
#include <stdio.h>

#include "base/conf.h"

static void derive(struct seal_key *key, const char *secret)
{
	struct str for_sealing = STR("llmchat: seals stored secrets"), for_id = STR("llmchat: names the key that seals");
	unsigned char id[CRYPTO_MAC_BYTES];

	*key = (struct seal_key){.id = ""};
	if (!*secret)
		return;
	crypto_mac(str_from(secret), &for_sealing, 1, key->key);
	crypto_mac(str_from(secret), &for_id, 1, id);
	for (size_t i = 0; i < SEAL_KEY_ID_SIZE / 2; i++)
		snprintf(key->id + 2 * i, 3, "%02x", id[i]);
}

void seal_init(struct seal *seal, const struct conf *conf)
{
	derive(&seal->current, conf->secrets_key);
	derive(&seal->previous, conf->secrets_key_previous);
}

void seal_fini(struct seal *seal)
{
	crypto_wipe(seal, sizeof(*seal));
}

struct str seal_close(const struct seal *seal, struct str about, struct str plain, struct arena *arena)
{
	unsigned char bytes[SEAL_MAX_BYTES + CRYPTO_SEAL_BYTES];
	size_t n = plain.len + CRYPTO_SEAL_BYTES;
	char *out = arena_alloc(arena, crypto_base64_size(n));

	assert(plain.len <= SEAL_MAX_BYTES && seal_possible(seal));
	crypto_seal(seal->current.key, about, plain, bytes);
	crypto_base64(bytes, n, out);
	return str_from(out);
}

static const struct seal_key *key_named(const struct seal *seal, struct str id)
{
	if (id.len && str_eq_cstr(id, seal->current.id))
		return &seal->current;
	return id.len && str_eq_cstr(id, seal->previous.id) ? &seal->previous : NULL;
}

struct str seal_open(const struct seal *seal, struct str key_id, struct str about, struct str sealed, struct arena *arena)
{
	const struct seal_key *key = key_named(seal, key_id);
	unsigned char bytes[SEAL_MAX_BYTES + CRYPTO_SEAL_BYTES];
	size_t n = sealed.len / 4 * 3 + (sealed.len % 4 ? sealed.len % 4 - 1 : 0);
	const struct str failed = {NULL, 0};
	unsigned char *out;

	if (!key || n < CRYPTO_SEAL_BYTES || n > sizeof(bytes) || !crypto_from_base64(sealed, bytes, n))
		return failed;
	out = arena_alloc(arena, n - CRYPTO_SEAL_BYTES + 1);
	if (!crypto_open(key->key, about, (struct str){(const char *)bytes, n}, out))
		return failed;
	return (struct str){(const char *)out, n - CRYPTO_SEAL_BYTES};
}
