/* Hashes against published vectors, text forms against damage, chance against stillness. */
#include "base/crypto.h"

#include <sodium.h>
#include <sys/resource.h>

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

/* Hashes that were made before libargon2 came must open, and must be made the same, so that the way back is open too. */
static void hashes_passwords_as_libsodium_does(void **state)
{
	static const struct {
		struct str password;
		const char *hash;
	} made[] = {
		/* by libsodium 1.0.18; the last one, of four lanes, by libargon2 without any of our memory */
		{CONST_STR("password"),
		 "$argon2id$v=19$m=65536,t=2,p=1$U/tSAp/TR0Xw4scgVSQWcg$eGWe8ANwO6HSj/oM/O2IuQbD7XDLpUelW3C5dp8GF1w"},
		{CONST_STR(""), "$argon2id$v=19$m=8,t=1,p=1$2JjATsvioVHz4gZ2FyGmvg$t0dA16tGejgb1hkVQX88U5JngiDo+xEKSZzwStEa3U0"},
		{CONST_STR("pass\0word"),
		 "$argon2id$v=19$m=1024,t=3,p=1$JmsrFFB2ufqHlYSJR65uUA$LtFm9Z5g1SmIF+ElAJFuqdXSSWKOtQl1Not9t+OvYl4"},
		{CONST_STR("password"),
		 "$argon2id$v=19$m=32768,t=1,p=4$ll3aMBieaUX7XLoQ/6CIrw$odbmM5LWJc1jgPWPBC5ZjjpeboKjZmBcmCRd42UFG40"},
	};
	static const struct crypto_cost costs[] = {{1, 8192}, {3, 11 << 10}, {2, 1 << 20}, {16, 16 << 10}};
	char hash[CRYPTO_PASSWORD_HASH_SIZE], password[70];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(made); i++) {
		assert_int_equal(crypto_password_verify(made[i].password, made[i].hash), 1);
		assert_int_equal(crypto_password_verify(STR("Password"), made[i].hash), 0);
	}
	assert_int_equal(crypto_password_outdated(made[0].hash, CRYPTO_COST), 0);
	assert_int_equal(crypto_password_outdated(made[3].hash, (struct crypto_cost){1, 32 << 10}), 1); /* for its lanes */
	for (size_t i = 0; i < 5 * N_ELEMENTS(costs); i++) {
		const struct crypto_cost *cost = &costs[i % N_ELEMENTS(costs)];

		crypto_random(password, sizeof(password));
		assert_int_equal(crypto_password_hash((struct str){password, i}, *cost, hash), 0);
		assert_int_equal(crypto_pwhash_str_verify(hash, password, i), 0);
		assert_int_equal(crypto_pwhash_argon2id_str_needs_rehash(hash, cost->passes, cost->memory_bytes), 0);
		assert_int_equal(crypto_pwhash_str(hash, password, i, cost->passes, cost->memory_bytes), 0);
		assert_int_equal(crypto_password_verify((struct str){password, i}, hash), 1);
		assert_int_equal(crypto_password_outdated(hash, *cost), 0);
	}
	assert_int_equal(crypto_password_hash((struct str){NULL, 0}, costs[0], hash), 0);
	assert_int_equal(crypto_pwhash_str_verify(hash, "", 0), 0);
}

static void tells_what_is_no_password_hash(void **state)
{
#define SALT "c2FsdHNhbHRzYWx0c2FsdA"
#define TAG  "dGFndGFndGFndGFndGFndGFndGFndGFndGFndGFndGE"
	char long_one[4096] = "$argon2id$v=19$m=8,t=1,p=1$", hash[CRYPTO_PASSWORD_HASH_SIZE];
	const char *const wrong[] = {
		"", "x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$", "$2b$12$abcdefghijklmnopqrstuv",
		"$argon2i$v=19$m=8,t=1,p=1$" SALT "$" TAG, "$argon2id$v=16$m=8,t=1,p=1$" SALT "$" TAG,
		"$argon2id$m=8,t=1,p=1$" SALT "$" TAG, " $argon2id$v=19$m=8,t=1,p=1$" SALT "$" TAG,
		"$argon2id$v=19$m=8,t=1,p=1$" SALT "$" TAG "\n", "$argon2id$v=19$m=8,t=1,p=1$" SALT "$" TAG "$",
		"$argon2id$v=19$m=8,t=1,p=1$" SALT "$" TAG "=", "$argon2id$v=19$m=8,t=1,p=1,x=1$" SALT "$" TAG,
		"$argon2id$v=19$t=1,m=8,p=1$" SALT "$" TAG, "$argon2id$v=19$m=8,t=1$" SALT "$" TAG,
		"$argon2id$v=19$m=,t=1,p=1$" SALT "$" TAG, "$argon2id$v=19$m=+8,t=1,p=1$" SALT "$" TAG,
		"$argon2id$v=19$m=-8,t=1,p=1$" SALT "$" TAG, "$argon2id$v=19$m= 8,t=1,p=1$" SALT "$" TAG,
		"$argon2id$v=19$m=08,t=1,p=1$" SALT "$" TAG, "$argon2id$v=19$m=0x8,t=1,p=1$" SALT "$" TAG,
		"$argon2id$v=19$m=4294967304,t=1,p=1$" SALT "$" TAG, "$argon2id$v=19$m=18446744073709551624,t=1,p=1$" SALT "$" TAG,
		"$argon2id$v=19$m=8,t=4294967297,p=1$" SALT "$" TAG, "$argon2id$v=19$m=8,t=1,p=4294967297$" SALT "$" TAG,
		"$argon2id$v=19$m=8,t=1,p=1$$" TAG, "$argon2id$v=19$m=8,t=1,p=1$" SALT "$", "$argon2id$v=19$m=8,t=1,p=1$" SALT "AA$" TAG,
		"$argon2id$v=19$m=8,t=1,p=1$" SALT "$" SALT, "$argon2id$v=19$m=8,t=1,p=1$" TAG "$" SALT,
		"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdB$" TAG, /* spare bits that are not zero */
		"$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHRz-Wx0c2FsdA$" TAG, /* of the other dialect */
		/* at the price of too much memory or time: none of these may even begin */
		"$argon2id$v=19$m=7,t=1,p=1$" SALT "$" TAG, "$argon2id$v=19$m=8,t=0,p=1$" SALT "$" TAG,
		"$argon2id$v=19$m=8,t=1,p=0$" SALT "$" TAG, "$argon2id$v=19$m=8,t=17,p=1$" SALT "$" TAG,
		"$argon2id$v=19$m=8,t=1,p=2$" SALT "$" TAG, "$argon2id$v=19$m=72,t=1,p=9$" SALT "$" TAG,
		"$argon2id$v=19$m=262145,t=1,p=1$" SALT "$" TAG, "$argon2id$v=19$m=4294967295,t=4294967295,p=1$" SALT "$" TAG,
		"$argon2id$v=19$m=65537,t=16,p=1$" SALT "$" TAG, "$argon2id$v=19$m=262144,t=5,p=1$" SALT "$" TAG, long_one};

	(void)state;
	memset(long_one + 27, 'A', sizeof(long_one) - 28);
	for (size_t i = 0; i < N_ELEMENTS(wrong); i++) {
		assert_int_equal(crypto_password_outdated(wrong[i], CRYPTO_COST), -1);
		assert_int_equal(crypto_password_verify(STR("password"), wrong[i]), 0);
	}
	/* what is just affordable */
	assert_int_equal(crypto_password_outdated("$argon2id$v=19$m=8,t=1,p=1$" SALT "$" TAG, CRYPTO_COST), 1);
	assert_int_equal(crypto_password_outdated("$argon2id$v=19$m=64,t=16,p=8$" SALT "$" TAG, CRYPTO_COST), 1);
	assert_int_equal(crypto_password_outdated("$argon2id$v=19$m=262144,t=4,p=1$" SALT "$" TAG, CRYPTO_COST), 1);
	assert_int_equal(crypto_password_outdated("$argon2id$v=19$m=65536,t=16,p=1$" SALT "$" TAG, CRYPTO_COST), 1);
	/* cut anywhere, or with any of its bytes changed, it is none either, or at least no longer the same */
	assert_int_equal(crypto_password_hash(STR("password"), (struct crypto_cost){1, 8192}, hash), 0);
	for (size_t i = 0; hash[i]; i++) {
		char was = hash[i];

		hash[i] = was == '1' ? '2' : '1';
		assert_int_equal(crypto_password_verify(STR("password"), hash), 0);
		hash[i] = (char)0xb1;
		assert_int_equal(crypto_password_outdated(hash, CRYPTO_COST), -1);
		hash[i] = was;
	}
	assert_int_equal(crypto_password_verify(STR("password"), hash), 1);
	for (size_t len = strlen(hash); len-- > 0;) {
		hash[len] = '\0';
		assert_int_equal(crypto_password_verify(STR("password"), hash), 0);
		assert_int_equal(crypto_password_outdated(hash, CRYPTO_COST), -1);
	}
}

/* Nobody may be locked out for that, so it is another answer than a wrong password. */
static void tells_that_there_is_no_memory(void **state)
{
	char hash[CRYPTO_PASSWORD_HASH_SIZE], none[CRYPTO_PASSWORD_HASH_SIZE];
	struct rlimit before, little;
	int hashed, right, wrong, unreadable;

	(void)state;
	assert_int_equal(crypto_password_hash(STR("password"), (struct crypto_cost){1, 16 << 20}, hash), 0);
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	little = (struct rlimit){1 << 20, before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0);
	hashed = crypto_password_hash(STR("password"), (struct crypto_cost){1, 16 << 20}, none);
	right = crypto_password_verify(STR("password"), hash);
	wrong = crypto_password_verify(STR("Password"), hash);
	unreadable = crypto_password_verify(STR("password"), "x");
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	assert_int_equal(hashed, -1);
	assert_int_equal(right, -1);
	assert_int_equal(wrong, -1);
	assert_int_equal(unreadable, 0);
	assert_int_equal(crypto_password_verify(STR("password"), hash), 1);
}

static size_t mapped_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	size_t n = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%zu", &n), 1);
	fclose(f);
	return n;
}

static void gives_the_memory_of_a_hash_back(void **state)
{
	char hash[CRYPTO_PASSWORD_HASH_SIZE];
	size_t n_pages;

	(void)state;
	assert_int_equal(crypto_password_hash(STR("password"), (struct crypto_cost){1, (3 << 20) + 1024}, hash), 0);
	n_pages = mapped_pages();
	for (int i = 0; i < 10; i++)
		assert_int_equal(crypto_password_verify(STR("password"), hash), 1);
	assert_true(mapped_pages() < n_pages + 256);
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
		cmocka_unit_test(hashes_passwords_as_libsodium_does),
		cmocka_unit_test(tells_what_is_no_password_hash),
		cmocka_unit_test(tells_that_there_is_no_memory),
		cmocka_unit_test(gives_the_memory_of_a_hash_back),
		cmocka_unit_test(base64_comes_back_as_it_was),
		cmocka_unit_test(refuses_base64_of_another_dialect),
		cmocka_unit_test(chance_is_not_still_and_keeps_its_bound),
	};

	return cmocka_run_group_tests(tests, start_crypto, NULL);
}
