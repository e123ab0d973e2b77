/* Hashes against published vectors, text forms against damage, chance against stillness. */
#include "base/crypto.h"

#include "tests/unit/support.h"

/* clang-format off */
#define AA_16 "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa"
#define AA_131 AA_16 AA_16 AA_16 AA_16 AA_16 AA_16 AA_16 AA_16 "\xaa\xaa\xaa"
/* clang-format on */

static int start_crypto(void **state)
{
	crypto_init();
	return quiet(state);
}

static void hashes_as_published(void **state)
{
	char hex[2 * CRYPTO_HASH_BYTES + 1];

	(void)state;
	crypto_sha256_hex(STR("abc"), hex); /* FIPS 180-2 */
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	crypto_sha256_hex((struct str){NULL, 0}, hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void a_mac_depends_on_the_key_and_on_where_the_parts_meet(void **state)
{
	const struct str one[] = {STR("ab"), STR("c")}, two[] = {STR("a"), STR("bc")}, three[] = {STR("abc")},
			 four[] = {STR("ab"), STR("c"), STR("")};
	unsigned char macs[6][CRYPTO_MAC_BYTES];

	(void)state;
	crypto_mac(STR("key"), one, 2, macs[0]);
	crypto_mac(STR("key"), two, 2, macs[1]);
	crypto_mac(STR("key"), three, 1, macs[2]);
	crypto_mac(STR("key"), four, 3, macs[3]);
	crypto_mac(STR("yek"), one, 2, macs[4]);
	for (int i = 0; i < 5; i++)
		for (int k = 0; k < i; k++)
			assert_false(crypto_equal(macs[i], macs[k], CRYPTO_MAC_BYTES));
	crypto_mac(STR("key"), one, 2, macs[5]);
	assert_true(crypto_equal(macs[0], macs[5], CRYPTO_MAC_BYTES));
}

static void an_hmac_is_as_published(void **state)
{
	static const struct {
		struct str key, data;
		const char *hex;
	} samples[] = {
		/* RFC 4231, cases 2 and 6 (a key longer than a block) */
		{CONST_STR("Jefe"), CONST_STR("what do ya want for nothing?"),
		 "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{CONST_STR(AA_131), CONST_STR("Test Using Larger Than Block-Size Key - Hash Key First"),
		 "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		unsigned char mac[CRYPTO_MAC_BYTES];
		char hex[2 * CRYPTO_MAC_BYTES + 1];

		crypto_hmac(samples[i].key, samples[i].data, mac);
		for (size_t k = 0; k < sizeof(mac); k++)
			snprintf(hex + 2 * k, 3, "%02x", mac[k]);
		assert_string_equal(hex, samples[i].hex);
	}
}

static void wipes(void **state)
{
	char text[] = "secret", nothing[sizeof(text)] = "";

	(void)state;
	crypto_wipe(text, 0);
	assert_string_equal(text, "secret");
	crypto_wipe(text, sizeof(text));
	assert_memory_equal(text, nothing, sizeof(text));
}

static void knows_its_own_password_hashes(void **state)
{
	const struct crypto_cost least = {1, 8192}, more = {2, 8192}, larger = {1, 16384};
	char hash[CRYPTO_PASSWORD_HASH_SIZE], again[CRYPTO_PASSWORD_HASH_SIZE], with_nul[] = "pass\0word";

	(void)state;
	assert_int_equal(crypto_password_hash(STR("password"), least, hash), 0);
	assert_memory_equal(hash, "$argon2id$v=19$m=8,t=1,p=1$", 27);
	assert_int_equal(crypto_password_hash(STR("password"), least, again), 0);
	assert_string_not_equal(hash, again);
	assert_int_equal(crypto_password_verify(STR("password"), hash), 1);
	assert_int_equal(crypto_password_verify(STR("password"), again), 1);
	assert_int_equal(crypto_password_verify(STR("Password"), hash), 0);
	assert_int_equal(crypto_password_verify(STR(""), hash), 0);
	assert_int_equal(crypto_password_outdated(hash, least), 0);
	assert_int_equal(crypto_password_outdated(hash, more), 1);
	assert_int_equal(crypto_password_outdated(hash, larger), 1);
	/* every byte counts, also behind a NUL */
	assert_int_equal(crypto_password_hash((struct str){with_nul, 9}, least, hash), 0);
	assert_int_equal(crypto_password_verify((struct str){with_nul, 9}, hash), 1);
	assert_int_equal(crypto_password_verify(STR("pass"), hash), 0);
	assert_true(CRYPTO_COST.passes == 2 && CRYPTO_COST.memory_bytes == 64 << 20);
}

static void tells_what_is_no_password_hash(void **state)
{
	char long_one[4096] = "$argon2id$v=19$m=8,t=1,p=1$", hash[CRYPTO_PASSWORD_HASH_SIZE];
	const char *const wrong[] = {"",
				     "x",
				     "$argon2id$",
				     "$argon2id$v=19$m=8,t=1,p=1$",
				     "$2b$12$abcdefghijklmnopqrstuv",
				     "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaA",
				     long_one};

	(void)state;
	memset(long_one + 27, 'A', sizeof(long_one) - 28);
	for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
		assert_int_equal(crypto_password_outdated(wrong[i], CRYPTO_COST), -1);
		assert_int_equal(crypto_password_verify(STR("password"), wrong[i]), 0);
	}
	/* cut anywhere it is none either, or at least no longer the same */
	assert_int_equal(crypto_password_hash(STR("password"), (struct crypto_cost){1, 8192}, hash), 0);
	for (size_t len = strlen(hash); len-- > 0;) {
		hash[len] = '\0';
		assert_int_equal(crypto_password_verify(STR("password"), hash), 0);
	}
}

static void base64_comes_back_as_it_was(void **state)
{
	(void)state;
	for (size_t n = 0; n < 70; n++) {
		unsigned char bytes[70], back[70];
		char text[128];

		crypto_random(bytes, n);
		memset(text, 'X', sizeof(text));
		crypto_base64(bytes, n, text);
		assert_true(strlen(text) < crypto_base64_size(n));
		assert_int_equal(text[crypto_base64_size(n)], 'X');
		assert_null(strpbrk(text, "+/="));
		assert_true(crypto_from_base64(str_from(text), back, n));
		assert_memory_equal(back, bytes, n);
		if (n > 0)
			assert_false(crypto_from_base64(str_from(text), back, n - 1));
		assert_false(crypto_from_base64(str_from(text), back, n + 1));
		if (n > 0) {
			text[0] = '!';
			assert_false(crypto_from_base64(str_from(text), back, n));
		}
	}
}

static void refuses_base64_of_another_dialect(void **state)
{
	unsigned char out[4];

	(void)state;
	for (int c = 0; c < 256; c++) {
		char text[] = {'A', 'A', (char)c, 'A'};
		bool digit = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';

		assert_int_equal(crypto_from_base64((struct str){text, 4}, out, 3), digit);
	}
	assert_false(crypto_from_base64(STR("AA=="), out, 1));
	assert_false(crypto_from_base64(STR("-_+/"), out, 3));
	assert_false(crypto_from_base64(STR("AA\n"), out, 1));
	assert_false(crypto_from_base64(STR("AAA A"), out, 3));
	assert_false(crypto_from_base64(STR("AB"), out, 1)); /* spare bits that are not zero: a second spelling of the same byte */
	assert_true(crypto_from_base64(STR("-_-_"), out, 3));
}

static void chance_is_not_still_and_keeps_its_bound(void **state)
{
	unsigned char a[32] = {0}, b[32] = {0};
	unsigned seen[5] = {0};

	(void)state;
	crypto_random(a, sizeof(a));
	crypto_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	for (int i = 0; i < 5000; i++) {
		uint32_t n = crypto_random_below(5);

		assert_true(n < 5);
		seen[n]++;
	}
	for (int i = 0; i < 5; i++)
		assert_in_range(seen[i], 700, 1300);
	assert_int_equal(crypto_random_below(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes_as_published),
		cmocka_unit_test(a_mac_depends_on_the_key_and_on_where_the_parts_meet),
		cmocka_unit_test(an_hmac_is_as_published),
		cmocka_unit_test(wipes),
		cmocka_unit_test(knows_its_own_password_hashes),
		cmocka_unit_test(tells_what_is_no_password_hash),
		cmocka_unit_test(base64_comes_back_as_it_was),
		cmocka_unit_test(refuses_base64_of_another_dialect),
		cmocka_unit_test(chance_is_not_still_and_keeps_its_bound),
	};

	return cmocka_run_group_tests(tests, start_crypto, NULL);
}
