/* The anonymous visitor's cookie: an id and a MAC over it, so that nobody can claim another's. */
#include "handlers/owner.h"

#include <stdio.h>

#include "base/conf.h"
#include "base/crypto.h"
#include "handlers/request.h"

#define COOKIE_NAME "llmchat_anon"
enum { COOKIE_MAX_AGE_S = 365 * 86400, MAC_TEXT_SIZE = 44 };

static void sign(const char *secret, struct str id, unsigned char mac[CRYPTO_MAC_BYTES])
{
	struct str parts[] = {STR("anonymous-visitor"), id};

	crypto_mac(str_from(secret), parts, N_ELEMENTS(parts), mac);
}

static bool signed_with(const char *secret, struct str id, const unsigned char given[CRYPTO_MAC_BYTES])
{
	unsigned char right[CRYPTO_MAC_BYTES];

	if (!*secret)
		return false;
	sign(secret, id, right);
	return crypto_equal(given, right, sizeof(right));
}

static bool take_cookie(struct request *r)
{
	struct str mac_text = request_cookie(r, COOKIE_NAME), id = str_cut(&mac_text, '.');
	const struct conf *conf = r->app->conf;
	unsigned char given[CRYPTO_MAC_BYTES];

	if (!uuid_valid(id) || !mac_text.p || !crypto_from_base64(mac_text, given, sizeof(given)))
		return false;
	if (!signed_with(conf->token_secret, id, given)) {
		if (!signed_with(conf->token_secret_previous, id, given))
			return false;
		r->new_cookie = true; /* the same visitor, signed anew before that secret goes */
	}
	r->user_id = uuid_from(id);
	return true;
}

enum flow_next owner_from_cookie(struct request *r)
{
	if (!r->app->conf->chat_anonymous)
		return request_reject(r, ERR_AUTH_REQUIRED);
	r->anonymous = true;
	if (!take_cookie(r)) {
		r->user_id = uuid_new();
		r->new_cookie = true;
	}
	return FLOW_NEXT;
}

void owner_put_cookie(const struct request *r, struct buf *out)
{
	unsigned char mac[CRYPTO_MAC_BYTES];
	char text[MAC_TEXT_SIZE];

	if (!r->new_cookie)
		return;
	sign(r->app->conf->token_secret, uuid_str(&r->user_id), mac);
	crypto_base64(mac, sizeof(mac), text);
	buf_printf(out, "Set-Cookie: " COOKIE_NAME "=%s.%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%s\r\n", r->user_id.text, text,
		   (int)COOKIE_MAX_AGE_S, r->https ? "; Secure" : "");
}
