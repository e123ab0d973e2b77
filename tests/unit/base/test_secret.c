/* Opaque secrets: every one another, their shape checked character by character, their hash as published. */
#include "base/secret.h"

#include "tests/unit/support.h"

static int start_crypto(void **state)
{
	crypto_init();
	return quiet(state);
}

static void makes_secrets_that_it_takes_itself(void **state)
{
	char made[100][SECRET_SIZE];

	(void)state;
	for (int i = 0; i < 100; i++) {
		memset(made[i], 'X', SECRET_SIZE);
		secret_make(i % 2 ? SECRET_API_KEY : SECRET_REFRESH_TOKEN, made[i]);
		assert_int_equal(strlen(made[i]), SECRET_LEN);
		assert_true(secret_valid(i % 2 ? "sk-" : "rt-", str_from(made[i])));
		assert_false(secret_valid(i % 2 ? "rt-" : "sk-", str_from(made[i])));
		assert_true(str_only(str_from(made[i]), STR(NAME_CHARS)) &&
			    !strchr(made[i], '.')); /* goes through URLs and headers as it is */
		for (int k = 0; k < i; k++)
			assert_string_not_equal(made[i], made[k]);
	}
}

static void refuses_every_other_shape(void **state)
{
	/* clang-format off */
	static const char *const wrong[] = {
		"", "sk-", "sk", "sk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "sk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		"SK-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "sk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
		" sk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "sk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"sk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB", /* spare bits: a second spelling of the same bytes */
	};
	/* clang-format on */
	char text[SECRET_SIZE] = "sk-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

	(void)state;
	assert_true(secret_valid("sk-", str_from(text)));
	for (size_t i = 0; i < N_ELEMENTS(wrong); i++)
		assert_false(secret_valid("sk-", str_from(wrong[i])));
	assert_false(secret_valid("sk-", (struct str){NULL, 0}));
	for (size_t at = 0; at < SECRET_LEN; at++) {
		char before = text[at];

		for (int c = 0; c < 256; c++) {
			bool known = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';

			text[at] = (char)c;
			if (!known || (at < SECRET_PREFIX_LEN && text[at] != before))
				assert_false(secret_valid("sk-", (struct str){text, SECRET_LEN}));
			else if (at < SECRET_LEN - 1)
				assert_true(secret_valid("sk-", (struct str){text, SECRET_LEN}));
		}
		text[at] = before;
	}
}

static void stores_a_hash_and_shows_the_beginning(void **state)
{
	char hash[SECRET_HASH_SIZE], shown[SECRET_SHOWN_SIZE];

	(void)state;
	secret_hash(STR("abc"), hash); /* FIPS 180-2 */
	assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	secret_shown(STR("sk-AbCdEfGhAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), shown);
	assert_string_equal(shown, "sk-AbCdE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_secrets_that_it_takes_itself),
		cmocka_unit_test(refuses_every_other_shape),
		cmocka_unit_test(stores_a_hash_and_shows_the_beginning),
	};

	return cmocka_run_group_tests(tests, start_crypto, NULL);
}
