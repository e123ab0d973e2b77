/* What we use of libsodium: random bytes, keyed and plain hashes, constant-time compare, text forms. */
#pragma once
#include "base/str.h"

enum { CRYPTO_MAC_BYTES = 32, CRYPTO_HASH_BYTES = 32 };

/* Once, before anything else of this file. Aborts if the system has no source of randomness. */
void crypto_init(void);
void crypto_random(void *out, size_t n);
/* Uniform in 0..bound-1. */
uint32_t crypto_random_below(uint32_t bound);
/* HMAC-SHA-256 of the parts, each prefixed by its length so that ("ab","c") and ("a","bc") differ. */
void crypto_mac(struct str key, const struct str *parts, size_t n_parts, unsigned char out[CRYPTO_MAC_BYTES]);
/* SHA-256 as lower-case hex and a NUL. */
void crypto_sha256_hex(struct str data, char out[2 * CRYPTO_HASH_BYTES + 1]);
/* Time does not depend on where they differ. */
bool crypto_equal(const void *a, const void *b, size_t n);
/* URL-safe base64 without padding; out has crypto_base64_size(n) bytes. */
size_t crypto_base64_size(size_t n);
void crypto_base64(const void *bytes, size_t n, char *out);
/* Decodes exactly n bytes; false if s is anything else. */
MUST_CHECK bool crypto_from_base64(struct str s, void *out, size_t n);
