/* Access tokens: JSON Web Tokens (RFC 7519) signed with HMAC-SHA-256, of one kind and one issuer. Whether the user still exists, may
 * log in, or has logged out is not in them: that is asked of the users.
 *
 * libjwt 1.10 makes and decodes them, but it parses header and claims before it looks at the signature, takes every algorithm it knows
 * (`none` among them, if it is given no key), ignores exp, nbf and `crit`, reads a claim of the wrong type as 0, ends the JSON at a
 * NUL, and writes a byte behind its buffer for an empty part. So the shape and the signature are checked here first, in constant time:
 * no byte of a stranger's token is ever parsed. What libjwt is then told or not told is checked claim by claim. */
#pragma once
#include "base/uuid.h"

enum {
	JWT_SIZE = 512,       /* more than any token that we make, with its NUL */
	JWT_MAX_BYTES = 4096, /* longer ones are refused unread */
	JWT_SKEW_S = 60,      /* by how much the clocks of two servers may differ */
	JWT_MIN_SECRET_BYTES = 32
};

struct jwt_claims {
	struct uuid user_id;    /* sub */
	struct uuid session_id; /* sid: the login; all its tokens share it, so that it can be revoked */
	struct uuid token_id;   /* jti */
	int64_t issued_at_s;    /* iat, seconds since 1970 */
	int64_t expires_at_s;   /* exp */
};

/* Writes a token and its NUL. All claims must be there (the ids valid, the times above 0); secret has at least
 * JWT_MIN_SECRET_BYTES. iss is "llmchat" and `use` is "access", so that nothing else signed with this secret passes for a token. */
void jwt_issue(struct str secret, const struct jwt_claims *claims, char out[JWT_SIZE]);

/* Is this one of ours, and still valid at now_s (seconds since 1970)? secrets: the current one and, while they change, the one before;
 * one shorter than JWT_MIN_SECRET_BYTES is passed over, so that an empty one opens nothing. token may hold any bytes.
 * 0 and *claims; -ERR_TOKEN_EXPIRED if it is ours and exp has passed by more than JWT_SKEW_S; -ERR_TOKEN_INVALID for anything else:
 * no three parts of base64url, not signed by one of the secrets, alg not exactly HS256, iss or use not ours, a claim missing or of the
 * wrong type, iat or nbf more than JWT_SKEW_S in the future. *claims is written for 0 only. Takes about 10 us. */
MUST_CHECK int jwt_check(struct str token, const struct str *secrets, size_t n_secrets, int64_t now_s, struct jwt_claims *claims);
