/* What we use of libsodium: random bytes, keyed and plain hashes, sealing, constant-time compare, text forms; and of libargon2: password hashes. */
#pragma once
#include "base/str.h"

enum { CRYPTO_MAC_BYTES = 32, CRYPTO_HASH_BYTES = 32, CRYPTO_PASSWORD_HASH_SIZE = 128 };

/* Once, before anything else of this file. Aborts if the system has no source of randomness. */
void crypto_init(void);
void crypto_random(void *out, size_t n);
/* Uniform in 0..bound-1. */
uint32_t crypto_random_below(uint32_t bound);
/* HMAC-SHA-256 of the parts, each prefixed by its length so that ("ab","c") and ("a","bc") differ. */
void crypto_mac(struct str key, const struct str *parts, size_t n_parts, unsigned char out[CRYPTO_MAC_BYTES]);
/* HMAC-SHA-256 of data as it is (RFC 2104), for formats that say so; of our own, crypto_mac. */
void crypto_hmac(struct str key, struct str data, unsigned char out[CRYPTO_MAC_BYTES]);
/* SHA-256 as lower-case hex and a NUL. */
void crypto_sha256_hex(struct str data, char out[2 * CRYPTO_HASH_BYTES + 1]);

enum { CRYPTO_KEY_BYTES = 32, CRYPTO_NONCE_BYTES = 24, CRYPTO_SEAL_BYTES = CRYPTO_NONCE_BYTES + 16 };
/* XChaCha20-Poly1305 with a random nonce: writes the nonce, the ciphertext and its tag, plain.len + CRYPTO_SEAL_BYTES bytes. What is
 * sealed opens with the same key and the same `about` only, which itself is not part of it. base/seal.h has the form that is stored. */
void crypto_seal(const unsigned char key[CRYPTO_KEY_BYTES], struct str about, struct str plain, unsigned char *out);
/* Writes sealed.len - CRYPTO_SEAL_BYTES bytes; false if that is not what was sealed. */
MUST_CHECK bool crypto_open(const unsigned char key[CRYPTO_KEY_BYTES], struct str about, struct str sealed, unsigned char *out);

/* Time does not depend on where they differ. */
bool crypto_equal(const void *a, const void *b, size_t n);
/* Overwrites secrets in a way that no compiler leaves out. */
void crypto_wipe(void *p, size_t n);
/* URL-safe base64 without padding; out has crypto_base64_size(n) bytes. */
size_t crypto_base64_size(size_t n);
void crypto_base64(const void *bytes, size_t n, char *out);
/* Decodes exactly n bytes; false if s is anything else. */
MUST_CHECK bool crypto_from_base64(struct str s, void *out, size_t n);

/* Password hashes: argon2id in its text form ("$argon2id$v=19$m=…,t=…,p=…$salt$hash", the one of libsodium), with a salt of its own
 * in each. Making or comparing one takes long and much memory, on purpose: in a responder through base/password, never on the loop.
 * Both may be called from any thread, and hold up none of the others while they run (docs/decisions/0010). */
struct crypto_cost {
	uint64_t passes;     /* over the memory, 1 to 16; times memory_bytes at most 1 GiB */
	size_t memory_bytes; /* 8 KiB to 256 MiB */
};
/* 64 MiB and 0.1 s on an ordinary server (libsodium's INTERACTIVE). */
extern const struct crypto_cost CRYPTO_COST;
/* Writes the hash with its NUL. 0, or -1 if the memory is not to be had. */
MUST_CHECK int crypto_password_hash(struct str password, struct crypto_cost cost, char out[CRYPTO_PASSWORD_HASH_SIZE]);
/* 1 if the password matches, 0 if it does not or hash is no hash, -1 if the memory is not to be had. What the hash says decides the
 * cost; one that says more than struct crypto_cost may, or more than 8 lanes, counts as none. */
MUST_CHECK int crypto_password_verify(struct str password, const char *hash);
/* 0 if hash was made at this cost, 1 if at another, -1 if it is no argon2id hash (as crypto_password_verify sees it). Quick. */
MUST_CHECK int crypto_password_outdated(const char *hash, struct crypto_cost cost);
