/* "STAMP MAC\n" and the text. */
#include "cache/entry.h"

#include "base/crypto.h"
#include "config.h"

enum { MAC_TEXT_SIZE = 44 };

static void sign(struct str secret, struct str key, struct str stamp, struct str text, unsigned char mac[CRYPTO_MAC_BYTES])
{
	const struct str parts[] = {STR("cache entry"), STR(PACKAGE_VERSION), key, stamp, text};

	crypto_mac(secret, parts, N_ELEMENTS(parts), mac);
}

void entry_put(struct buf *out, struct str secret, struct str key, int64_t stamp, struct str text)
{
	unsigned char mac[CRYPTO_MAC_BYTES];
	char mac_text[MAC_TEXT_SIZE];
	size_t at = out->len;

	buf_printf(out, "%lld", (long long)stamp);
	sign(secret, key, (struct str){out->p + at, out->len - at}, text, mac);
	crypto_base64(mac, sizeof(mac), mac_text);
	buf_printf(out, " %s\n", mac_text);
	buf_add_str(out, text);
}

bool entry_read(struct str raw, struct str secret, struct str key, int64_t *stamp, struct str *text)
{
	struct str rest = raw, head = str_cut(&rest, '\n'), mac_text = head, stamp_text = str_cut(&mac_text, ' ');
	unsigned char given[CRYPTO_MAC_BYTES], right[CRYPTO_MAC_BYTES];

	if (!rest.p || !mac_text.p || !crypto_from_base64(mac_text, given, sizeof(given)))
		return false;
	sign(secret, key, stamp_text, rest, right);
	*text = rest;
	return crypto_equal(given, right, sizeof(right)) && str_to_i64(stamp_text, stamp) && *stamp >= 0;
}
