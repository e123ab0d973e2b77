/* Fuzzes access tokens. A stranger's token never gets behind the signature, so most inputs are signed with the right secret: by the
 * first byte 't' is a token as it is, 's' is signed as it is, anything else is header and claims as JSON with a line feed between. */
#include <assert.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/jwt.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW 1760000000

static const struct str secrets[] = {{"0123456789abcdef0123456789abcdef", 32}, {"fedcba9876543210fedcba9876543210", 32}, {"", 0}};

static void add_base64(struct buf *b, struct str s)
{
	size_t room = crypto_base64_size(s.len);

	crypto_base64(s.p, s.len, buf_reserve(b, room));
	b->len += room - 1; /* without the NUL */
}

static void make_token(struct buf *b, char kind, struct str text)
{
	unsigned char mac[CRYPTO_MAC_BYTES];

	if (kind == 't' || kind == 's') {
		buf_add_str(b, text);
	} else {
		add_base64(b, str_cut(&text, '\n'));
		buf_add_str(b, STR("."));
		add_base64(b, text);
	}
	if (kind == 't')
		return;
	crypto_hmac(secrets[1], buf_str(b), mac);
	buf_add_str(b, STR("."));
	add_base64(b, (struct str){(const char *)mac, sizeof(mac)});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct jwt_claims claims, again;
	struct buf b = {0};
	char token[JWT_SIZE], *exact;
	int err;

	if (size == 0)
		return 0;
	make_token(&b, (char)data[0], (struct str){(const char *)data + 1, size - 1});
	exact = mem_alloc(b.len); /* so that a byte read behind it is seen */
	if (b.len)
		memcpy(exact, b.p, b.len);
	err = jwt_check((struct str){exact, b.len}, secrets, 3, NOW, &claims);
	assert(err == 0 || err == -ERR_TOKEN_INVALID || err == -ERR_TOKEN_EXPIRED);
	if (err == 0) {
		assert(b.len <= JWT_MAX_BYTES);
		assert(uuid_valid(uuid_str(&claims.user_id)) && uuid_valid(uuid_str(&claims.session_id)) &&
		       uuid_valid(uuid_str(&claims.token_id)));
		assert(claims.issued_at_s > 0 && claims.issued_at_s <= NOW + JWT_SKEW_S && claims.expires_at_s >= NOW - JWT_SKEW_S);
		jwt_issue(secrets[0], &claims, token);
		assert(jwt_check(str_from(token), secrets, 1, NOW, &again) == 0);
		assert(strcmp(claims.user_id.text, again.user_id.text) == 0 && strcmp(claims.session_id.text, again.session_id.text) == 0);
		assert(strcmp(claims.token_id.text, again.token_id.text) == 0 && claims.issued_at_s == again.issued_at_s);
		assert(claims.expires_at_s == again.expires_at_s);
	}
	free(exact);
	buf_fini(&b);
	return 0;
}
