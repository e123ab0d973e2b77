/* What makes two questions the same. */
#include "chat/turn_hash.h"

#include "chat/turn.h"
#include "tests/unit/support.h"

static struct llm_message messages[2];

static struct turn_request sample(void)
{
	messages[0] = (struct llm_message){.role = STR("user"), .content = STR("ab"), .parts = STR("")};
	messages[1] = (struct llm_message){.role = STR("user"), .content = STR("cd")};
	return (struct turn_request){
		.user_id = STR("u"), .chat_id = STR("c"), .messages = messages, .n_messages = 2, .max_tokens = 5, .request_id = "r"};
}

static const char *hash(const struct turn_request *request, const char *agent)
{
	static char texts[2][TURN_HASH_SIZE];
	static int i;

	i = !i;
	turn_hash(request, str_from(agent), texts[i]);
	return texts[i];
}

static void the_same_question_has_the_same_hash_however_it_is_read(void **state)
{
	struct turn_request one = sample(), other = sample();

	(void)state;
	other.plain = true;
	other.request_id = "s";
	other.variables = (struct str){NULL, 0};
	assert_string_equal(hash(&one, "a"), hash(&other, "a"));
	assert_int_equal(strlen(hash(&one, "a")), TURN_HASH_SIZE - 1);
	/* It is kept for a day beside idempotency keys: whoever changes it has them refused after an upgrade. */
	assert_string_equal(hash(&one, "a"), "hVCwkFLt1FweXcpPKVC29OW2Et4CmTCNAUx722917WQ");
}

#define DIFFERS(change)                                                                                                                    \
	do {                                                                                                                               \
		struct turn_request other = sample();                                                                                      \
		const char *first_hash = hash(&other, "a");                                                                                \
                                                                                                                                           \
		change;                                                                                                                    \
		if (strcmp(first_hash, hash(&other, "a")) == 0)                                                                            \
			fail_msg("%s makes no difference", #change);                                                                       \
	} while (0)

static void whatever_the_answer_depends_upon_makes_a_difference(void **state)
{
	struct turn_request one = sample();
	const char *first = hash(&one, "a");

	(void)state;
	assert_string_not_equal(first, hash(&one, "b"));
	one.has_temperature = true;
	first = hash(&one, "a");
	one.temperature = 0.1;
	assert_string_not_equal(first, hash(&one, "a"));
	DIFFERS(other.user_id = STR("v"));
	DIFFERS(other.anonymous = true);
	DIFFERS(other.agents = STR("[\"a\"]"));
	DIFFERS(other.chat_id = STR("d"));
	DIFFERS(other.retry_question_id = STR("q"));
	DIFFERS(other.retry_session_id = STR("q"));
	DIFFERS(other.with_history = true);
	DIFFERS(other.question_client_id = STR("x"));
	DIFFERS(other.answer_client_id = STR("x"));
	DIFFERS(other.has_temperature = true);
	DIFFERS(other.max_tokens = 6);
	DIFFERS(other.limits_completion = true);
	DIFFERS(other.variables = STR("{}"));
	DIFFERS(other.extra = STR("\"top_p\":1"));
	DIFFERS(other.n_messages = 1);
	DIFFERS(messages[0].role = STR("system"));
	DIFFERS(messages[0].content = STR("ac"));
	DIFFERS(messages[0].parts = STR("[]"));
	DIFFERS(messages[0].extra = STR("\"name\":\"x\""));
	DIFFERS(messages[0].no_content = true);
	/* Where one field ends and the next begins. */
	DIFFERS((messages[0].content = STR("abc"), messages[1].content = STR("d")));
	DIFFERS((other.user_id = STR("uc"), other.chat_id = STR("")));
}

static void keys_are_their_owners(void **state)
{
	char a[TURN_HASH_SIZE], b[TURN_HASH_SIZE];

	(void)state;
	turn_key_hash(STR("u"), STR("key"), a);
	turn_key_hash(STR("v"), STR("key"), b);
	assert_string_not_equal(a, b);
	turn_key_hash(STR("uk"), STR("ey"), b);
	assert_string_not_equal(a, b);
	turn_key_hash(STR("u"), STR("key"), b);
	assert_string_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_question_has_the_same_hash_however_it_is_read),
		cmocka_unit_test(whatever_the_answer_depends_upon_makes_a_difference),
		cmocka_unit_test(keys_are_their_owners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
