/* The only file that knows libsodium and libargon2. */
#include "base/crypto.h"

#include <argon2.h>
#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

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

_Static_assert((int)CRYPTO_KEY_BYTES == (int)crypto_aead_xchacha20poly1305_ietf_KEYBYTES &&
		       (int)CRYPTO_NONCE_BYTES == (int)crypto_aead_xchacha20poly1305_ietf_NPUBBYTES &&
		       (int)CRYPTO_SEAL_BYTES == (int)CRYPTO_NONCE_BYTES + (int)crypto_aead_xchacha20poly1305_ietf_ABYTES,
	       "as libsodium has them");

void crypto_seal(const unsigned char key[CRYPTO_KEY_BYTES], struct str about, struct str plain, unsigned char *out)
{
	randombytes_buf(out, CRYPTO_NONCE_BYTES);
	crypto_aead_xchacha20poly1305_ietf_encrypt(out + CRYPTO_NONCE_BYTES, NULL, (const unsigned char *)plain.p, plain.len,
						   (const unsigned char *)about.p, about.len, NULL, out, key);
}

bool crypto_open(const unsigned char key[CRYPTO_KEY_BYTES], struct str about, struct str sealed, unsigned char *out)
{
	const unsigned char *nonce = (const unsigned char *)sealed.p;

	return sealed.len >= CRYPTO_SEAL_BYTES &&
	       crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, nonce + CRYPTO_NONCE_BYTES, sealed.len - CRYPTO_NONCE_BYTES,
							  (const unsigned char *)about.p, about.len, nonce, key) == 0;
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

/* libsodium 1.0.18 takes most bytes above 127 for digits, so it never sees one. */
#define BASE64_LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static bool from_base64(struct str s, struct str digits, int variant, void *out, size_t n)
{
	size_t decoded;

	return str_only(s, digits) && sodium_base642bin(out, n, s.p, s.len, NULL, &decoded, NULL, variant) == 0 && decoded == n;
}

bool crypto_from_base64(struct str s, void *out, size_t n)
{
	return from_base64(s, STR(BASE64_LETTERS "-_"), sodium_base64_VARIANT_URLSAFE_NO_PADDING, out, n);
}

const struct crypto_cost CRYPTO_COST = {crypto_pwhash_argon2id_OPSLIMIT_INTERACTIVE, crypto_pwhash_argon2id_MEMLIMIT_INTERACTIVE};

_Static_assert((int)CRYPTO_PASSWORD_HASH_SIZE == (int)crypto_pwhash_argon2id_STRBYTES, "a hash fits exactly");

/* What a stored hash may ask for: four times our memory, sixteen passes over ours, about a second. More is a hash that is damaged. */
enum { MAX_KIB = 256 << 10, MAX_PASSES = 16, MAX_LANES = 8, MAX_KIB_FILLED = 1 << 20, SALT_BYTES = 16, TAG_BYTES = 32 };

/* A password hash, taken apart. */
struct parts {
	uint32_t kib, passes, lanes;
	unsigned char salt[SALT_BYTES], tag[TAG_BYTES];
};

static bool affordable(uint64_t kib, uint64_t passes, uint64_t lanes)
{
	return passes >= 1 && passes <= MAX_PASSES && lanes >= 1 && lanes <= MAX_LANES && kib >= 8 * lanes && kib <= MAX_KIB &&
	       kib * passes <= MAX_KIB_FILLED;
}

/* The memory of a hash. While one thread holds the process's memory map, none of the others can change it, so nothing here holds it
 * for longer than it takes to note a range. The pages come one by one as they are written to (libsodium has all of them come in one
 * call), and never huge ones: they save time, but some kernels hold the map until one is found and cleared. Nor may the range become
 * one with a neighbour that the loop is about to change: it is of another kind, not in core dumps, where it has no business anyway. */
static int map_memory(uint8_t **memory, size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*memory = NULL; /* which is what libargon2 looks at */
	if (p == MAP_FAILED)
		return -1;
	(void)madvise(p, n, MADV_NOHUGEPAGE); /* fails where the system has none */
	(void)madvise(p, n, MADV_DONTDUMP);
	*memory = p;
	return 0;
}

/* libargon2 has wiped it. In slices, since the map is held while pages go back; then there is nothing left for munmap to do. */
static void unmap_memory(uint8_t *memory, size_t n)
{
	const size_t slice_bytes = 1 << 20;

	for (size_t at = 0; at < n; at += slice_bytes)
		(void)madvise(memory + at, n - at < slice_bytes ? n - at : slice_bytes, MADV_DONTNEED);
	(void)munmap(memory, n);
}

/* Writes h->tag, by all the rest of it. 0, or -1 if the memory is not to be had. */
static int make_tag(struct str password, struct parts *h)
{
	argon2_context context = {
		.out = h->tag,
		.outlen = TAG_BYTES,
		.pwd = (uint8_t *)(uintptr_t)password.p, /* written to with ARGON2_FLAG_CLEAR_PASSWORD only */
		.pwdlen = (uint32_t)password.len,
		.salt = h->salt,
		.saltlen = SALT_BYTES,
		.t_cost = h->passes,
		.m_cost = h->kib,
		.lanes = h->lanes,
		.threads = 1,
		.version = ARGON2_VERSION_13,
		.allocate_cbk = map_memory,
		.free_cbk = unmap_memory,
	};

	return password.len <= UINT32_MAX && argon2_ctx(&context, Argon2_id) == ARGON2_OK ? 0 : -1;
}

int crypto_password_hash(struct str password, struct crypto_cost cost, char out[CRYPTO_PASSWORD_HASH_SIZE])
{
	struct parts h = {.kib = (uint32_t)(cost.memory_bytes / 1024), .passes = (uint32_t)cost.passes, .lanes = 1};
	char salt[32], tag[64]; /* as text */
	int err;

	assert(affordable(cost.memory_bytes / 1024, cost.passes, 1));
	randombytes_buf(h.salt, sizeof(h.salt)); /* crypto_random's store belongs to the loop's thread */
	err = make_tag(password, &h);
	sodium_bin2base64(salt, sizeof(salt), h.salt, sizeof(h.salt), sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	sodium_bin2base64(tag, sizeof(tag), h.tag, sizeof(h.tag), sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	memset(out, 0, CRYPTO_PASSWORD_HASH_SIZE);
	if (err == 0)
		snprintf(out, CRYPTO_PASSWORD_HASH_SIZE, "$argon2id$v=19$m=%u,t=%u,p=1$%s$%s", h.kib, h.passes, salt, tag);
	return err;
}

/* Takes "m=65536," off the start, where name is "m=" and end the comma. */
static bool take_number(struct str *rest, struct str name, char end, uint32_t *n)
{
	struct str digits;
	int64_t value;

	if (!str_starts(*rest, name))
		return false;
	*rest = str_skip(*rest, name.len);
	digits = str_cut(rest, end);
	if (!str_to_i64(digits, &value) || digits.p[0] == '0' || value < 1 || value > UINT32_MAX)
		return false;
	*n = (uint32_t)value;
	return true;
}

/* Only what crypto_password_hash (or libsodium) could have written, at another cost perhaps, and what we can afford. */
static bool take_apart(const char *hash, struct parts *h)
{
	const struct str start = STR("$argon2id$v=19$"), digits = STR(BASE64_LETTERS "+/");
	const int variant = sodium_base64_VARIANT_ORIGINAL_NO_PADDING;
	struct str rest = str_from(hash), salt;

	if (!str_starts(rest, start))
		return false;
	rest = str_skip(rest, start.len);
	if (!take_number(&rest, STR("m="), ',', &h->kib) || !take_number(&rest, STR("t="), ',', &h->passes) ||
	    !take_number(&rest, STR("p="), '$', &h->lanes) || !affordable(h->kib, h->passes, h->lanes))
		return false;
	salt = str_cut(&rest, '$');
	return from_base64(salt, digits, variant, h->salt, sizeof(h->salt)) && from_base64(rest, digits, variant, h->tag, sizeof(h->tag));
}

int crypto_password_verify(struct str password, const char *hash)
{
	struct parts stored, made;
	int result;

	if (!take_apart(hash, &stored))
		return 0;
	made = stored;
	result = make_tag(password, &made) != 0 ? -1 : crypto_equal(made.tag, stored.tag, sizeof(made.tag));
	sodium_memzero(&made, sizeof(made));
	return result;
}

int crypto_password_outdated(const char *hash, struct crypto_cost cost)
{
	struct parts h;

	if (!take_apart(hash, &h))
		return -1;
	return h.kib != cost.memory_bytes / 1024 || h.passes != cost.passes || h.lanes != 1;
}
