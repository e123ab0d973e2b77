/* UUID version 7. The 12 bits after the milliseconds count within a millisecond (RFC 9562, 6.2 method 1). */
#include "base/uuid.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/crypto.h"

static uint64_t last_tick; /* milliseconds << 12 | counter */

struct uuid uuid_new(void)
{
	uint64_t tick = (clock_real_us() / 1000) << 12, random;
	struct uuid id;

	if (tick <= last_tick)
		tick = last_tick + 1;
	last_tick = tick;
	crypto_random(&random, sizeof(random));
	snprintf(id.text, sizeof(id.text), "%08x-%04x-7%03x-%04x-%012llx", (unsigned)(tick >> 28), (unsigned)(tick >> 12 & 0xFFFF),
		 (unsigned)(tick & 0xFFF), 0x8000U | (unsigned)(random >> 50), (unsigned long long)(random & 0xFFFFFFFFFFFF));
	return id;
}

bool uuid_valid(struct str text)
{
	if (text.len != UUID_TEXT_SIZE - 1)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? c != '-' : !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')))
			return false;
	}
	return true;
}

struct uuid uuid_from(struct str text)
{
	struct uuid id = {""};

	if (uuid_valid(text))
		memcpy(id.text, text.p, text.len);
	return id;
}
