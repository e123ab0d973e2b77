/* 16 hexadecimal digits of the time, the id, 16 of the signature; URL-safe base64 of them. */
#include "handlers/cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crypto.h"

enum { TIME_LEN = 16, ID_LEN = UUID_TEXT_SIZE - 1, SIGN_BYTES = 8, PLAIN_LEN = TIME_LEN + ID_LEN + 2 * SIGN_BYTES };

static void sign(struct str secret, struct str scope, struct str place, char out[2 * SIGN_BYTES + 1])
{
	struct str parts[] = {STR("cursor"), scope, place};
	unsigned char mac[CRYPTO_MAC_BYTES];

	crypto_mac(secret, parts, N_ELEMENTS(parts), mac);
	for (size_t i = 0; i < SIGN_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", mac[i]);
}

void cursor_make(struct str secret, struct str scope, int64_t at_us, struct str id, char out[CURSOR_SIZE])
{
	char plain[PLAIN_LEN + 1], signature[2 * SIGN_BYTES + 1];
	int n = snprintf(plain, sizeof(plain), "%016" PRIx64 "%.*s", (uint64_t)at_us, STR_ARG(id));

	sign(secret, scope, (struct str){plain, (size_t)n}, signature);
	snprintf(plain + n, sizeof(plain) - (size_t)n, "%s", signature);
	crypto_base64(plain, PLAIN_LEN, out);
}

bool cursor_read(struct str secret, struct str scope, struct str cursor, int64_t *at_us, struct uuid *id)
{
	char plain[PLAIN_LEN + 1] = "", right[2 * SIGN_BYTES + 1], time[TIME_LEN + 1];
	struct str place = {plain, TIME_LEN + ID_LEN}, id_text = {plain + TIME_LEN, ID_LEN};

	if (cursor.len + 1 != crypto_base64_size(PLAIN_LEN) || !crypto_from_base64(cursor, plain, PLAIN_LEN))
		return false;
	sign(secret, scope, place, right);
	if (!crypto_equal(plain + place.len, right, 2 * (size_t)SIGN_BYTES) || !uuid_valid(id_text))
		return false;
	snprintf(time, sizeof(time), "%.*s", (int)TIME_LEN, plain);
	*at_us = (int64_t)strtoull(time, NULL, 16);
	*id = uuid_from(id_text);
	return true;
}
