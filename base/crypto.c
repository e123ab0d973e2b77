/* The only file that knows libsodium. */
#include "base/crypto.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

void crypto_init(void)
{
	if (sodium_init() < 0) {
		fputs("libsodium cannot start: no source of random bytes\n", stderr);
		abort();
	}
}

/* A system call for a handful of bytes at a time is what randomness costs: it is fetched by the kilobyte, and each byte is wiped
 * when it has been given out. */
void crypto_random(void *out, size_t n)
{
	static unsigned char store[1024];
	static size_t left;

	if (n > sizeof(store)) {
		randombytes_buf(out, n);
		return;
	}
	if (left < n) {
		randombytes_buf(store, sizeof(store));
		left = sizeof(store);
	}
	left -= n;
	memcpy(out, store + left, n);
	sodium_memzero(store + left, n);
}

uint32_t crypto_random_below(uint32_t bound)
{
	return randombytes_uniform(bound);
}

void crypto_mac(struct str key, const struct str *parts, size_t n_parts, unsigned char out[CRYPTO_MAC_BYTES])
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, (const unsigned char *)key.p, key.len);
	for (size_t i = 0; i < n_parts; i++) {
		uint64_t len = parts[i].len;

		crypto_auth_hmacsha256_update(&state, (const unsigned char *)&len, sizeof(len));
		crypto_auth_hmacsha256_update(&state, (const unsigned char *)parts[i].p, len);
	}
	crypto_auth_hmacsha256_final(&state, out);
}

void crypto_hmac(struct str key, struct str data, unsigned char out[CRYPTO_MAC_BYTES])
{
	crypto_auth_hmacsha256_state state; /* crypto_auth_hmacsha256() itself takes keys of 32 bytes only */

	crypto_auth_hmacsha256_init(&state, (const unsigned char *)key.p, key.len);
	crypto_auth_hmacsha256_update(&state, (const unsigned char *)data.p, data.len);
	crypto_auth_hmacsha256_final(&state, out);
	sodium_memzero(&state, sizeof(state));
}

void crypto_sha256_hex(struct str data, char out[2 * CRYPTO_HASH_BYTES + 1])
{
	unsigned char hash[CRYPTO_HASH_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *)data.p, data.len);
	sodium_bin2hex(out, 2 * CRYPTO_HASH_BYTES + 1, hash, sizeof(hash));
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
	return sodium_memcmp(a, b, n) == 0;
}

void crypto_wipe(void *p, size_t n)
{
	sodium_memzero(p, n);
}

size_t crypto_base64_size(size_t n)
{
	return sodium_base64_encoded_len(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

void crypto_base64(const void *bytes, size_t n, char *out)
{
	sodium_bin2base64(out, crypto_base64_size(n), bytes, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
}

bool crypto_from_base64(struct str s, void *out, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t decoded;

	/* libsodium 1.0.18 takes most bytes above 127 for digits. */
	return str_only(s, STR(digits)) &&
	       sodium_base642bin(out, n, s.p, s.len, NULL, &decoded, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) == 0 && decoded == n;
}

const struct crypto_cost CRYPTO_COST = {crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE, crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE};

_Static_assert((int)CRYPTO_PASSWORD_HASH_SIZE == (int)crypto_pwhash_argon2id_STRBYTES, "a hash fits exactly");

int crypto_password_hash(struct str password, struct crypto_cost cost, char out[CRYPTO_PASSWORD_HASH_SIZE])
{
	return crypto_pwhash_argon2id_str(out, password.p, password.len, cost.passes, cost.memory_bytes);
}

/* libsodium says the same of a password that does not match and of memory that it cannot have: so the memory is asked for once more. */
static bool has_memory_for(const char *hash)
{
	unsigned kib;
	void *p;

	if (sscanf(hash, "$argon2id$v=%*u$m=%u,", &kib) != 1)
		return true;
	p = malloc((size_t)kib * 1024);
	free(p);
	return p != NULL;
}

int crypto_password_verify(struct str password, const char *hash)
{
	if (crypto_pwhash_argon2id_str_verify(hash, password.p, password.len) == 0)
		return 1;
	return has_memory_for(hash) ? 0 : -1;
}

int crypto_password_outdated(const char *hash, struct crypto_cost cost)
{
	return crypto_pwhash_argon2id_str_needs_rehash(hash, cost.passes, cost.memory_bytes);
}
