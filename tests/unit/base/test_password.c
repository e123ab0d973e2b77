/* Passwords on the worker: what matches, what does not, what nobody has, and that no copy of one stays behind. At the least cost. */
#include "base/password.h"

#include <malloc.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/support.h"

static const struct crypto_cost least = {1, 8192};

struct world {
	struct loop *loop;
	struct worker *worker;
	struct passwords *passwords;
	const char *absent; /* must be nowhere in what the thread worked on */
	unsigned told;
	int err;
};

struct ask {
	struct password_job job;
	struct world *world;
};

static int make_world(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	crypto_init();
	clock_set_for_test(0, 0);
	w->loop = loop_new();
	w->worker = worker_new(w->loop, 2);
	w->passwords = passwords_new(w->worker, least);
	*state = w;
	return 0;
}

static int end_world(void **state)
{
	struct world *w = *state;

	passwords_free(w->passwords);
	passwords_free(NULL);
	worker_free(w->worker);
	assert_true(loop_free(w->loop));
	free(w);
	return 0;
}

static void on_done(struct op *op)
{
	struct ask *a = CONTAINER_OF(op, struct ask, job.op);
	struct world *w = a->world;
	void *data = a->job.work.data;

	w->told++;
	w->err = op->err;
	if (w->absent && data)
		assert_null(memmem(data, malloc_usable_size(data), w->absent, strlen(w->absent)));
}

static struct ask *new_ask(struct world *w)
{
	struct ask *a = mem_alloc(sizeof(*a));

	a->world = w;
	a->job.op.done = on_done;
	return a;
}

static int wait_for(struct world *w, struct ask *a)
{
	assert_int_equal(w->told, 0); /* never from inside */
	assert_true(op_waiting(&a->job.op));
	TURN_UNTIL(w->loop, w->told);
	assert_int_equal(w->told, 1);
	assert_false(op_waiting(&a->job.op));
	w->told = 0;
	return w->err;
}

static int hash(struct world *w, struct ask *a, struct str password)
{
	password_hash_start(w->passwords, &a->job, password);
	return wait_for(w, a);
}

static int verify(struct world *w, struct ask *a, struct str password, const char *stored)
{
	password_verify_start(w->passwords, &a->job, password, stored);
	return wait_for(w, a);
}

static void takes_the_right_password_only(void **state)
{
	struct world *w = *state;
	struct ask *a = new_ask(w), *b = new_ask(w);
	char first[CRYPTO_PASSWORD_HASH_SIZE];

	assert_int_equal(hash(w, a, STR("correct horse")), 0);
	assert_memory_equal(a->job.hash, "$argon2id$", 10);
	strcpy(first, a->job.hash);
	assert_int_equal(verify(w, b, STR("correct horse"), first), 0);
	assert_false(b->job.outdated);
	assert_string_equal(b->job.hash, "");
	assert_int_equal(verify(w, b, STR("correct Horse"), first), -ERR_INVALID_CREDENTIALS);
	assert_int_equal(verify(w, b, STR("correct horse "), first), -ERR_INVALID_CREDENTIALS);
	assert_int_equal(verify(w, b, STR(""), first), -ERR_INVALID_CREDENTIALS);
	assert_int_equal(verify(w, b, (struct str){NULL, 0}, first), -ERR_INVALID_CREDENTIALS);
	/* a new salt each time */
	assert_int_equal(hash(w, a, STR("correct horse")), 0);
	assert_string_not_equal(a->job.hash, first);
	free(a);
	free(b);
}

static void refuses_for_names_that_nobody_has(void **state)
{
	struct world *w = *state;
	struct ask *a = new_ask(w);

	assert_int_equal(verify(w, a, STR("anything"), NULL), -ERR_INVALID_CREDENTIALS);
	assert_int_equal(verify(w, a, STR(""), NULL), -ERR_INVALID_CREDENTIALS);
	assert_int_equal(verify(w, a, STR("anything"), ""), -ERR_INVALID_CREDENTIALS);
	assert_int_equal(verify(w, a, STR("anything"), "$2b$12$abcdefghijklmnopqrstuv"), -ERR_INVALID_CREDENTIALS);
	assert_string_equal(a->job.hash, ""); /* nothing that anybody could store */
	assert_false(a->job.outdated);
	free(a);
}

static void knows_a_hash_of_another_cost(void **state)
{
	struct world *w = *state;
	struct ask *a = new_ask(w);
	char old[CRYPTO_PASSWORD_HASH_SIZE];

	assert_int_equal(crypto_password_hash(STR("password"), (struct crypto_cost){2, 16384}, old), 0);
	assert_int_equal(verify(w, a, STR("password"), old), 0);
	assert_true(a->job.outdated);
	assert_int_equal(verify(w, a, STR("wrong"), old), -ERR_INVALID_CREDENTIALS);
	assert_false(a->job.outdated);
	free(a);
}

static void bounds_the_length(void **state)
{
	struct world *w = *state;
	struct ask *a = new_ask(w);
	char longest[PASSWORD_MAX_BYTES + 1], stored[CRYPTO_PASSWORD_HASH_SIZE];

	memset(longest, 'p', sizeof(longest));
	assert_int_equal(hash(w, a, (struct str){longest, sizeof(longest)}), -ERR_VALIDATION);
	assert_int_equal(hash(w, a, (struct str){longest, PASSWORD_MAX_BYTES}), 0);
	strcpy(stored, a->job.hash);
	assert_int_equal(verify(w, a, (struct str){longest, PASSWORD_MAX_BYTES}, stored), 0);
	assert_int_equal(verify(w, a, (struct str){longest, PASSWORD_MAX_BYTES - 1}, stored), -ERR_INVALID_CREDENTIALS);
	assert_int_equal(verify(w, a, (struct str){longest, sizeof(longest)}, stored), -ERR_VALIDATION);
	assert_int_equal(verify(w, a, (struct str){longest, sizeof(longest)}, NULL), -ERR_VALIDATION);
	free(a);
}

static void copies_the_password_and_wipes_the_copy(void **state)
{
	struct world *w = *state;
	struct ask *a = new_ask(w);
	char password[] = "correct horse battery staple", stored[CRYPTO_PASSWORD_HASH_SIZE];

	w->absent = "horse battery";
	password_hash_start(w->passwords, &a->job, STR("correct horse battery staple"));
	assert_int_equal(wait_for(w, a), 0);
	strcpy(stored, a->job.hash);
	password_verify_start(w->passwords, &a->job, str_from(password), stored);
	memset(password, 'X', sizeof(password));
	assert_int_equal(wait_for(w, a), 0);
	free(a);
}

static void tells_when_too_many_wait(void **state)
{
	struct world *w = *state;
	struct ask *asks[20];
	unsigned n_refused = 0;

	for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
		asks[i] = new_ask(w);
		password_hash_start(w->passwords, &asks[i]->job, STR("password"));
	}
	TURN_UNTIL(w->loop, w->told == N_ELEMENTS(asks));
	for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
		assert_true(asks[i]->job.op.err == 0 || asks[i]->job.op.err == -ERR_OVERLOADED);
		n_refused += asks[i]->job.op.err != 0;
		assert_int_equal(asks[i]->job.hash[0] == '\0', asks[i]->job.op.err != 0);
		free(asks[i]);
	}
	assert_int_equal(n_refused, N_ELEMENTS(asks) - 3);
	w->told = 0;
}

static void gives_up_at_the_deadline(void **state)
{
	struct world *w = *state;
	struct ask *asks[3];

	clock_set_for_test(1000000, 1000000);
	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		asks[i] = new_ask(w);
	/* as it would be behind something that takes long */
	asks[2]->job.op.deadline_us = 999999;
	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		password_hash_start(w->passwords, &asks[i]->job, STR("password"));
	poll(NULL, 0, 120); /* the tick is due before the loop hears of the first */
	TURN_UNTIL(w->loop, w->told == N_ELEMENTS(asks));
	assert_int_equal(asks[0]->job.op.err, 0);
	assert_int_equal(asks[2]->job.op.err, -ERR_OVERLOADED);
	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		free(asks[i]);
	clock_set_for_test(0, 0);
}

static void a_waiter_may_leave_at_any_time(void **state)
{
	struct world *w = *state;

	for (unsigned round = 0; round < 200; round++) {
		struct ask *asks[3];

		for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
			asks[i] = new_ask(w);
			password_verify_start(w->passwords, &asks[i]->job, STR("password"), NULL);
		}
		if (round % 4)
			poll(NULL, 0, (int)(round % 4) - 1);
		if (round % 3)
			loop_turn(w->loop, false);
		for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
			op_cancel(&asks[i]->job.op);
			free(asks[i]);
		}
		w->told = 0;
		loop_turn(w->loop, false);
		assert_int_equal(w->told, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(takes_the_right_password_only),
		T(refuses_for_names_that_nobody_has),
		T(knows_a_hash_of_another_cost),
		T(bounds_the_length),
		T(copies_the_password_and_wipes_the_copy),
		T(tells_when_too_many_wait),
		T(gives_up_at_the_deadline),
		T(a_waiter_may_leave_at_any_time),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
