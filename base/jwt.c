/* The only file that knows libjwt. */
#include "base/jwt.h"

#include <assert.h>
#include <errno.h>
#include <jwt.h>
#include <stdlib.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/mem.h"

#define ISSUER "llmchat"
#define USE    "access"

enum { SIGNATURE_LEN = 43 }; /* of CRYPTO_MAC_BYTES in base64 */

void jwt_issue(struct str secret, const struct jwt_claims *claims, char out[JWT_SIZE])
{
	jwt_t *jwt = NULL;
	char *text = NULL;

	assert(secret.len >= JWT_MIN_SECRET_BYTES && claims->issued_at_s > 0 && claims->expires_at_s > 0);
	assert(uuid_valid(uuid_str(&claims->user_id)) && uuid_valid(uuid_str(&claims->session_id)) &&
	       uuid_valid(uuid_str(&claims->token_id)));
	if (jwt_new(&jwt) == 0 && jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret.p, (int)secret.len) == 0 &&
	    jwt_add_grant(jwt, "iss", ISSUER) == 0 && jwt_add_grant(jwt, "use", USE) == 0 &&
	    jwt_add_grant(jwt, "sub", claims->user_id.text) == 0 && jwt_add_grant(jwt, "sid", claims->session_id.text) == 0 &&
	    jwt_add_grant(jwt, "jti", claims->token_id.text) == 0 && jwt_add_grant_int(jwt, "iat", claims->issued_at_s) == 0 &&
	    jwt_add_grant_int(jwt, "exp", claims->expires_at_s) == 0)
		text = jwt_encode_str(jwt);
	if (text) {
		assert(strlen(text) < JWT_SIZE);
		memcpy(out, text, strlen(text) + 1);
	} else { /* nothing else can fail */
		mem_exhausted(JWT_SIZE);
	}
	free(text);
	jwt_free(jwt);
}

static bool is_part(struct str s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

	return s.len > 0 && s.len % 4 != 1 && str_only(s, STR(digits));
}

/* The secret that has signed the token, or one of length 0. */
static struct str signer(struct str token, const struct str *secrets, size_t n_secrets)
{
	struct str rest = token, head = str_cut(&rest, '.'), body = str_cut(&rest, '.');
	unsigned char theirs[CRYPTO_MAC_BYTES], ours[CRYPTO_MAC_BYTES];

	if (!is_part(head) || !is_part(body) || rest.len != SIGNATURE_LEN || !crypto_from_base64(rest, theirs, sizeof(theirs)))
		return (struct str){NULL, 0};
	for (size_t i = 0; i < n_secrets; i++) {
		if (secrets[i].len < JWT_MIN_SECRET_BYTES)
			continue;
		crypto_hmac(secrets[i], (struct str){token.p, head.len + 1 + body.len}, ours);
		if (crypto_equal(ours, theirs, sizeof(ours)))
			return secrets[i];
	}
	return (struct str){NULL, 0};
}

static bool is_text(const char *value, const char *expected)
{
	return value && strcmp(value, expected) == 0;
}

static bool id_claim(jwt_t *jwt, const char *name, struct uuid *out)
{
	const char *value = jwt_get_grant(jwt, name);

	if (!value || !uuid_valid(str_from(value)))
		return false;
	memcpy(out->text, value, sizeof(out->text));
	return true;
}

/* True if there is a whole number above 0; absent, if it may be, counts as now. */
static bool time_claim(jwt_t *jwt, const char *name, const int64_t *if_absent, int64_t *out)
{
	*out = jwt_get_grant_int(jwt, name);
	if (errno == ENOENT && if_absent)
		*out = *if_absent;
	return *out > 0;
}

static int read_claims(jwt_t *jwt, int64_t now_s, struct jwt_claims *c)
{
	int64_t not_before_s;

	if (jwt_get_alg(jwt) != JWT_ALG_HS256 || !is_text(jwt_get_header(jwt, "alg"), "HS256"))
		return -ERR_TOKEN_INVALID;
	if (jwt_get_header(jwt, "crit") || errno != ENOENT) /* RFC 7515, 4.1.11: we understand none of what may stand there */
		return -ERR_TOKEN_INVALID;
	if (!is_text(jwt_get_grant(jwt, "iss"), ISSUER) || !is_text(jwt_get_grant(jwt, "use"), USE))
		return -ERR_TOKEN_INVALID;
	if (!id_claim(jwt, "sub", &c->user_id) || !id_claim(jwt, "sid", &c->session_id) || !id_claim(jwt, "jti", &c->token_id))
		return -ERR_TOKEN_INVALID;
	if (!time_claim(jwt, "iat", NULL, &c->issued_at_s) || !time_claim(jwt, "exp", NULL, &c->expires_at_s) ||
	    !time_claim(jwt, "nbf", &now_s, &not_before_s))
		return -ERR_TOKEN_INVALID;
	if (c->issued_at_s - now_s > JWT_SKEW_S || not_before_s - now_s > JWT_SKEW_S)
		return -ERR_TOKEN_INVALID;
	return now_s - c->expires_at_s > JWT_SKEW_S ? -ERR_TOKEN_EXPIRED : 0;
}

int jwt_check(struct str token, const struct str *secrets, size_t n_secrets, int64_t now_s, struct jwt_claims *claims)
{
	char text[JWT_MAX_BYTES + 1];
	struct jwt_claims found;
	struct str secret;
	jwt_t *jwt = NULL;
	int err;

	assert(now_s > 0);
	if (token.len > JWT_MAX_BYTES)
		return -ERR_TOKEN_INVALID;
	secret = signer(token, secrets, n_secrets);
	if (secret.len == 0)
		return -ERR_TOKEN_INVALID;
	memcpy(text, token.p, token.len);
	text[token.len] = '\0';
	if (jwt_decode(&jwt, text, (const unsigned char *)secret.p, (int)secret.len) != 0)
		return -ERR_TOKEN_INVALID;
	err = read_claims(jwt, now_s, &found);
	if (err == 0)
		*claims = found;
	jwt_free(jwt);
	return err;
}
