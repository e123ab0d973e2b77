/* The error table: complete, without doubles, and safe for any number. */
#include "base/err.h"

#include <errno.h>

#include "tests/unit/support.h"

static void every_error_has_a_status_a_code_and_a_sentence(void **state)
{
	(void)state;
	for (int err = 1; err < N_ERRS; err++) {
		const struct err_info *info = err_info(err);

		assert_in_range(info->status, 400, 599);
		assert_true(strlen(info->code) >= 4);
		for (const char *p = info->code; *p; p++)
			assert_true((*p >= 'A' && *p <= 'Z') || *p == '_');
		assert_true(strlen(info->sentence) > 10);
		assert_int_equal(info->sentence[strlen(info->sentence) - 1], '.');
		assert_ptr_equal(err_info(-err), info);
		for (int other = 1; other < err; other++)
			assert_string_not_equal(err_info(other)->code, info->code);
	}
	assert_int_equal(err_info(0)->status, 200);
}

static void an_unknown_error_is_an_internal_one(void **state)
{
	static const int unknown[] = {N_ERRS, -N_ERRS, 9999, -9999, 0x7FFFFFFF, -0x7FFFFFFF};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(unknown); i++)
		assert_ptr_equal(err_info(unknown[i]), err_info(ERR_INTERNAL));
}

static void trying_again_helps_against_what_passes(void **state)
{
	static const int passes[] = {ERR_UPSTREAM,   ERR_UPSTREAM_LIMIT, ERR_UPSTREAM_TIMEOUT, ERR_DB_UNAVAILABLE,
				     ERR_OVERLOADED, ERR_DRAINING,       ERR_RATE_LIMITED};
	static const int stays[] = {
		ERR_VALIDATION,    ERR_MALFORMED_JSON, ERR_AUTH_REQUIRED, ERR_ROUTE_NOT_FOUND,     ERR_METHOD_NOT_ALLOWED, ERR_TOO_LARGE,
		ERR_MEDIA_TYPE,    ERR_UPSTREAM_AUTH,  ERR_NONE,          ERR_INVALID_CREDENTIALS, ERR_TOKEN_EXPIRED,      ERR_FORBIDDEN,
		ERR_ACCOUNT_LOCKED};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(passes); i++)
		assert_true(err_retryable(passes[i]) && err_retryable(-passes[i]));
	for (size_t i = 0; i < N_ELEMENTS(stays); i++)
		assert_false(err_retryable(stays[i]));
}

static void what_we_lack_ourselves_is_told_from_what_others_refuse(void **state)
{
	static const int ours[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM}, theirs[] = {0, ECONNREFUSED, ECONNRESET, ETIMEDOUT, EHOSTUNREACH};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(ours); i++)
		assert_true(err_is_shortage(ours[i]));
	for (size_t i = 0; i < N_ELEMENTS(theirs); i++)
		assert_false(err_is_shortage(theirs[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_error_has_a_status_a_code_and_a_sentence),
		cmocka_unit_test(an_unknown_error_is_an_internal_one),
		cmocka_unit_test(trying_again_helps_against_what_passes),
		cmocka_unit_test(what_we_lack_ourselves_is_told_from_what_others_refuse),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
