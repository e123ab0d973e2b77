check_PROGRAMS += \
	tests/unit/base/test_account_rules \
	tests/unit/base/test_arena \
	tests/unit/base/test_backoff \
	tests/unit/base/test_breaker \
	tests/unit/base/test_breaker_shared \
	tests/unit/base/test_buf \
	tests/unit/base/test_clock \
	tests/unit/base/test_conf \
	tests/unit/base/test_control \
	tests/unit/base/test_crypto \
	tests/unit/base/test_err \
	tests/unit/base/test_json \
	tests/unit/base/test_json_scan \
	tests/unit/base/test_json_write \
	tests/unit/base/test_jwt \
	tests/unit/base/test_log \
	tests/unit/base/test_loop \
	tests/unit/base/test_mem \
	tests/unit/base/test_password \
	tests/unit/base/test_process \
	tests/unit/base/test_retry_budget \
	tests/unit/base/test_seal \
	tests/unit/base/test_secret \
	tests/unit/base/test_siblings \
	tests/unit/base/test_str \
	tests/unit/base/test_uuid \
	tests/unit/base/test_worker
base_test_libs = libbase.a $(CMOCKA_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

tests_unit_base_test_account_rules_SOURCES = tests/unit/base/test_account_rules.c tests/unit/support.h
tests_unit_base_test_account_rules_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_account_rules_LDADD = $(base_test_libs)

tests_unit_base_test_arena_SOURCES = tests/unit/base/test_arena.c tests/unit/support.h
tests_unit_base_test_arena_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_arena_LDADD = $(base_test_libs)

tests_unit_base_test_backoff_SOURCES = tests/unit/base/test_backoff.c tests/unit/support.h
tests_unit_base_test_backoff_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_backoff_LDADD = $(base_test_libs)

tests_unit_base_test_buf_SOURCES = tests/unit/base/test_buf.c tests/unit/support.h
tests_unit_base_test_buf_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_buf_LDADD = $(base_test_libs)

tests_unit_base_test_clock_SOURCES = tests/unit/base/test_clock.c tests/unit/support.h
tests_unit_base_test_clock_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_clock_LDADD = $(base_test_libs)

tests_unit_base_test_conf_SOURCES = tests/unit/base/test_conf.c tests/unit/support.h
tests_unit_base_test_conf_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_conf_LDADD = $(base_test_libs)

tests_unit_base_test_crypto_SOURCES = tests/unit/base/test_crypto.c tests/unit/support.h
tests_unit_base_test_crypto_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(SODIUM_CFLAGS)
tests_unit_base_test_crypto_LDADD = $(base_test_libs)

tests_unit_base_test_err_SOURCES = tests/unit/base/test_err.c tests/unit/support.h
tests_unit_base_test_err_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_err_LDADD = $(base_test_libs)

tests_unit_base_test_json_SOURCES = tests/unit/base/test_json.c tests/unit/support.h
tests_unit_base_test_json_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_json_LDADD = $(base_test_libs)

tests_unit_base_test_json_scan_SOURCES = tests/unit/base/test_json_scan.c tests/unit/support.h
tests_unit_base_test_json_scan_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_json_scan_LDADD = $(base_test_libs)

tests_unit_base_test_json_write_SOURCES = tests/unit/base/test_json_write.c tests/unit/support.h
tests_unit_base_test_json_write_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_json_write_LDADD = $(base_test_libs)

tests_unit_base_test_log_SOURCES = tests/unit/base/test_log.c tests/unit/support.h
tests_unit_base_test_log_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_log_LDADD = $(base_test_libs)

tests_unit_base_test_loop_SOURCES = tests/unit/base/test_loop.c tests/unit/support.h
tests_unit_base_test_loop_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_loop_LDADD = $(base_test_libs)

tests_unit_base_test_process_SOURCES = tests/unit/base/test_process.c tests/unit/support.h
tests_unit_base_test_process_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_process_LDADD = $(base_test_libs)

tests_unit_base_test_str_SOURCES = tests/unit/base/test_str.c tests/unit/support.h
tests_unit_base_test_str_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_str_LDADD = $(base_test_libs)

tests_unit_base_test_uuid_SOURCES = tests/unit/base/test_uuid.c tests/unit/support.h
tests_unit_base_test_uuid_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_uuid_LDADD = $(base_test_libs)

tests_unit_base_test_worker_SOURCES = tests/unit/base/test_worker.c tests/unit/support.h
tests_unit_base_test_worker_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_worker_LDADD = $(base_test_libs)

tests_unit_base_test_password_SOURCES = tests/unit/base/test_password.c tests/unit/support.h
tests_unit_base_test_password_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_password_LDADD = $(base_test_libs)

tests_unit_base_test_seal_SOURCES = tests/unit/base/test_seal.c tests/unit/support.h
tests_unit_base_test_seal_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_seal_LDADD = $(base_test_libs)

tests_unit_base_test_secret_SOURCES = tests/unit/base/test_secret.c tests/unit/support.h
tests_unit_base_test_secret_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_secret_LDADD = $(base_test_libs)

tests_unit_base_test_mem_SOURCES = tests/unit/base/test_mem.c tests/unit/support.h
tests_unit_base_test_mem_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_mem_LDADD = $(base_test_libs)

tests_unit_base_test_jwt_SOURCES = tests/unit/base/test_jwt.c tests/unit/support.h
tests_unit_base_test_jwt_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(JWT_CFLAGS)
tests_unit_base_test_jwt_LDADD = $(base_test_libs) $(JWT_LIBS)

tests_unit_base_test_siblings_SOURCES = tests/unit/base/test_siblings.c tests/unit/support.h
tests_unit_base_test_siblings_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_siblings_LDADD = $(base_test_libs)

tests_unit_base_test_control_SOURCES = tests/unit/base/test_control.c tests/unit/support.h
tests_unit_base_test_control_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_control_LDADD = $(base_test_libs)

tests_unit_base_test_breaker_SOURCES = tests/unit/base/test_breaker.c tests/unit/support.h
tests_unit_base_test_breaker_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_breaker_LDADD = $(base_test_libs)

tests_unit_base_test_retry_budget_SOURCES = tests/unit/base/test_retry_budget.c tests/unit/support.h
tests_unit_base_test_retry_budget_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_retry_budget_LDADD = $(base_test_libs)

tests_unit_base_test_breaker_shared_SOURCES = tests/unit/base/test_breaker_shared.c tests/unit/support.h
tests_unit_base_test_breaker_shared_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_base_test_breaker_shared_LDADD = $(base_test_libs)
