/* Sealed secrets: they open where they belong, with the key that sealed them, and with not one byte changed. */
#include "base/seal.h"

#include "base/conf.h"
#include "tests/unit/support.h"

#define KEY_A  "0123456789abcdef0123456789abcdef"
#define KEY_B  "0123456789abcdef0123456789abcdeF"
#define SECRET "sk-very-secret-provider-key"

static int start_crypto(void **state)
{
	crypto_init();
	return quiet(state);
}

static struct seal seal_of(const char *current, const char *previous)
{
	struct conf conf = {.secrets_key = current, .secrets_key_previous = previous};
	struct seal seal;

	seal_init(&seal, &conf);
	return seal;
}

static void opens_what_it_sealed(void **state)
{
	struct seal seal = seal_of(KEY_A, "");
	struct arena arena = {0};
	char longest[SEAL_MAX_BYTES];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (size_t n = 0; n <= sizeof(longest); n = n < 40 ? n + 1 : n < 100 ? sizeof(longest) - 1 : n + 1) {
		struct str plain = {longest, n}, sealed = seal_close(&seal, STR("agent-1"), plain, &arena), opened;

		assert_true(str_only(sealed, STR(NAME_CHARS)));
		opened = seal_open(&seal, str_from(seal.current.id), STR("agent-1"), sealed, &arena);
		assert_non_null(opened.p);
		assert_true(str_eq(opened, plain));
		assert_int_equal(opened.p[n], '\0');
	}
	arena_fini(&arena);
}

static void seals_the_same_text_another_way_each_time(void **state)
{
	struct seal seal = seal_of(KEY_A, "");
	struct arena arena = {0};
	struct str first = seal_close(&seal, STR("a"), STR(SECRET), &arena), second = seal_close(&seal, STR("a"), STR(SECRET), &arena);

	(void)state;
	assert_false(str_eq(first, second));
	assert_null(strstr(first.p, SECRET));
	arena_fini(&arena);
}

/* With the id that fits the key which is asked, so that it is the seal that refuses. */
static void refuses(const struct seal *seal, const char *about, struct str sealed, struct arena *arena)
{
	assert_null(seal_open(seal, str_from(seal->current.id), str_from(about), sealed, arena).p);
}

static void opens_nowhere_else(void **state)
{
	struct seal seal = seal_of(KEY_A, ""), other = seal_of(KEY_B, "");
	struct arena arena = {0};
	struct str sealed = seal_close(&seal, STR("agent-1"), STR(SECRET), &arena);

	(void)state;
	refuses(&seal, "agent-2", sealed, &arena);
	refuses(&seal, "agent-", sealed, &arena);
	refuses(&seal, "", sealed, &arena);
	refuses(&other, "agent-1", sealed, &arena);
	assert_string_not_equal(seal.current.id, other.current.id);
	assert_null(seal_open(&other, str_from(seal.current.id), STR("agent-1"), sealed, &arena).p);
	assert_null(seal_open(&seal, STR(""), STR("agent-1"), sealed, &arena).p);
	arena_fini(&arena);
}

static void refuses_what_is_cut_or_longer(void **state)
{
	struct seal seal = seal_of(KEY_A, "");
	struct arena arena = {0};
	struct str sealed = seal_close(&seal, STR("a"), STR(SECRET), &arena);

	(void)state;
	for (size_t n = 0; n < sealed.len; n++)
		refuses(&seal, "a", (struct str){sealed.p, n}, &arena);
	refuses(&seal, "a", arena_printf(&arena, "%sA", sealed.p), &arena);
	refuses(&seal, "a", arena_printf(&arena, "%sAAAA", sealed.p), &arena);
	arena_fini(&arena);
}

static void refuses_every_changed_byte(void **state)
{
	struct seal seal = seal_of(KEY_A, "");
	struct arena arena = {0};
	struct str sealed = seal_close(&seal, STR("a"), STR(SECRET), &arena);
	char *changed = arena_alloc(&arena, sealed.len + 1);

	(void)state;
	memcpy(changed, sealed.p, sealed.len);
	for (size_t at = 0; at < sealed.len; at++) {
		for (int c = 0; c < 256; c++) {
			changed[at] = (char)c;
			if (changed[at] != sealed.p[at])
				refuses(&seal, "a", (struct str){changed, sealed.len}, &arena);
		}
		changed[at] = sealed.p[at];
	}
	arena_fini(&arena);
}

static void the_previous_key_opens_and_does_not_seal(void **state)
{
	struct seal before = seal_of(KEY_A, ""), after = seal_of(KEY_B, KEY_A);
	struct arena arena = {0};
	struct str old = seal_close(&before, STR("a"), STR(SECRET), &arena), anew = seal_close(&after, STR("a"), STR(SECRET), &arena);

	(void)state;
	assert_string_equal(after.previous.id, before.current.id);
	assert_true(str_eq(seal_open(&after, str_from(before.current.id), STR("a"), old, &arena), STR(SECRET)));
	assert_true(str_eq(seal_open(&after, str_from(after.current.id), STR("a"), anew, &arena), STR(SECRET)));
	assert_null(seal_open(&before, str_from(after.current.id), STR("a"), anew, &arena).p);
	arena_fini(&arena);
}

static void without_a_key_nothing_seals_or_opens(void **state)
{
	struct seal none = seal_of("", ""), seal = seal_of(KEY_A, "");
	struct arena arena = {0};
	struct str sealed = seal_close(&seal, STR("a"), STR(SECRET), &arena);

	(void)state;
	assert_false(seal_possible(&none));
	assert_true(seal_possible(&seal));
	assert_null(seal_open(&none, STR(""), STR("a"), sealed, &arena).p);
	seal_fini(&seal);
	assert_false(seal_possible(&seal));
	arena_fini(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens_what_it_sealed),
		cmocka_unit_test(seals_the_same_text_another_way_each_time),
		cmocka_unit_test(opens_nowhere_else),
		cmocka_unit_test(refuses_what_is_cut_or_longer),
		cmocka_unit_test(refuses_every_changed_byte),
		cmocka_unit_test(the_previous_key_opens_and_does_not_seal),
		cmocka_unit_test(without_a_key_nothing_seals_or_opens),
	};

	return cmocka_run_group_tests(tests, start_crypto, NULL);
}
