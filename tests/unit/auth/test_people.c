/* The process's copies of who holds a login or a key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "auth/people.h"
#include "base/clock.h"
#include "base/crypto.h"

static struct person facts_of(struct uuid user_id, struct uuid credential_id)
{
	return (struct person){.by = PERSON_BY_LOGIN, .user_id = user_id, .credential_id = credential_id, .username = STR("amy")};
}

/* Adds a copy under the credential's id and keeps no reference. */
static void add(struct people *people, struct uuid user_id, struct uuid credential_id)
{
	struct person facts = facts_of(user_id, credential_id);

	person_unref(people_add(people, people_era(people), uuid_str(&credential_id), &facts, 0));
}

static int setup(void **state)
{
	crypto_init();
	*state = people_new();
	return 0;
}

static int teardown(void **state)
{
	people_free(*state);
	return 0;
}

static void finds_what_was_added(void **state)
{
	struct uuid user = uuid_new(), login = uuid_new();
	struct person facts = facts_of(user, login), *person;
	char name[] = "amy";

	facts.username = str_from(name);
	facts.is_admin = true;
	person_unref(people_add(*state, people_era(*state), uuid_str(&login), &facts, 0));
	name[0] = 'X'; /* it has a copy of its own */
	person = people_find(*state, uuid_str(&login));
	assert_non_null(person);
	assert_true(str_eq(person->username, STR("amy")));
	assert_true(person->is_admin);
	assert_string_equal(person->user_id.text, user.text);
	assert_null(people_find(*state, uuid_str(&user)));
}

static void forgets_all_of_a_user(void **state)
{
	struct uuid amy = uuid_new(), bob = uuid_new(), logins[3] = {uuid_new(), uuid_new(), uuid_new()};

	add(*state, amy, logins[0]);
	add(*state, bob, logins[1]);
	add(*state, amy, logins[2]);
	people_forget(*state, STR("user"), uuid_str(&amy));
	assert_null(people_find(*state, uuid_str(&logins[0])));
	assert_non_null(people_find(*state, uuid_str(&logins[1])));
	assert_null(people_find(*state, uuid_str(&logins[2])));
}

static void forgets_one_login(void **state)
{
	struct uuid amy = uuid_new(), logins[2] = {uuid_new(), uuid_new()};

	add(*state, amy, logins[0]);
	add(*state, amy, logins[1]);
	people_forget(*state, STR("login"), uuid_str(&logins[0]));
	assert_null(people_find(*state, uuid_str(&logins[0])));
	assert_non_null(people_find(*state, uuid_str(&logins[1])));
	people_forget(*state, STR("agent"), uuid_str(&logins[1]));
	assert_non_null(people_find(*state, uuid_str(&logins[1])));
}

static void forgets_everything_when_something_was_missed(void **state)
{
	struct uuid login = uuid_new();

	add(*state, uuid_new(), login);
	people_forget(*state, STR(""), STR(""));
	assert_null(people_find(*state, uuid_str(&login)));
}

/* The answer of a question that was asked before the change may be older than the change. */
static void keeps_no_answer_that_a_change_has_overtaken(void **state)
{
	struct uuid user = uuid_new(), login = uuid_new(), other = uuid_new();
	struct person facts = facts_of(user, login), *person;
	uint64_t era = people_era(*state);

	people_forget(*state, STR("login"), uuid_str(&other));
	person = people_add(*state, era, uuid_str(&login), &facts, 0);
	assert_true(str_eq(person->username, STR("amy"))); /* good for the request that asked */
	assert_null(people_find(*state, uuid_str(&login)));
	person_unref(person);
}

static void a_reference_outlives_the_copy(void **state)
{
	struct uuid user = uuid_new(), login = uuid_new();
	struct person facts = facts_of(user, login);
	struct person *person = people_add(*state, people_era(*state), uuid_str(&login), &facts, 0);

	people_forget(*state, STR("user"), uuid_str(&user));
	assert_null(people_find(*state, uuid_str(&login)));
	assert_true(str_eq(person->username, STR("amy")));
	person_unref(person);
}

static void a_new_copy_takes_the_place_of_the_old(void **state)
{
	struct uuid user = uuid_new(), login = uuid_new();
	struct person facts = facts_of(user, login);

	add(*state, user, login);
	facts.username = STR("amelia");
	person_unref(people_add(*state, people_era(*state), uuid_str(&login), &facts, 0));
	assert_true(str_eq(people_find(*state, uuid_str(&login))->username, STR("amelia")));
}

static void a_copy_ends_with_its_key(void **state)
{
	struct uuid key = uuid_new();
	struct person facts = facts_of(uuid_new(), key), *person;
	uint64_t now_us = clock_mono_us();

	person_unref(people_add(*state, people_era(*state), uuid_str(&key), &facts, 7));
	person = people_find(*state, uuid_str(&key));
	assert_in_range(person->valid_until_us, now_us + 6000000, now_us + 8000000);
	person->valid_until_us = now_us;
	assert_null(people_find(*state, uuid_str(&key)));
}

static void the_least_used_go_when_there_are_too_many(void **state)
{
	struct uuid user = uuid_new(), first = uuid_new(), second = uuid_new();

	add(*state, user, first);
	add(*state, user, second);
	for (size_t i = 0; i < PEOPLE_MAX - 1; i++) {
		assert_non_null(people_find(*state, uuid_str(&first))); /* in use */
		add(*state, user, uuid_new());
	}
	assert_non_null(people_find(*state, uuid_str(&first)));
	assert_null(people_find(*state, uuid_str(&second)));
}

static void a_key_may_be_for_some_agents_only(void **state)
{
	struct person facts = facts_of(uuid_new(), uuid_new());

	(void)state;
	assert_true(person_may_use_agent(&facts, STR("demo")));
	facts.agents = STR("[\"demo\", \"other\"]");
	assert_true(person_may_use_agent(&facts, STR("demo")));
	assert_true(person_may_use_agent(&facts, STR("other")));
	assert_false(person_may_use_agent(&facts, STR("dem")));
	assert_false(person_may_use_agent(&facts, STR("")));
	facts.agents = STR("nonsense");
	assert_false(person_may_use_agent(&facts, STR("demo")));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(finds_what_was_added),
		T(forgets_all_of_a_user),
		T(forgets_one_login),
		T(forgets_everything_when_something_was_missed),
		T(keeps_no_answer_that_a_change_has_overtaken),
		T(a_reference_outlives_the_copy),
		T(a_new_copy_takes_the_place_of_the_old),
		T(a_copy_ends_with_its_key),
		T(the_least_used_go_when_there_are_too_many),
		T(a_key_may_be_for_some_agents_only),
	};
#undef T

	return cmocka_run_group_tests(tests, NULL, NULL);
}
