check_PROGRAMS += tests/unit/db/test_pool tests/unit/db/test_pool_faults tests/unit/db/test_pool_heavy tests/unit/db/test_sqlstate tests/unit/db/test_turn_writes \
	tests/unit/db/test_users tests/unit/db/test_logins tests/unit/db/test_login_races tests/unit/db/test_refresh \
	tests/unit/db/test_keys tests/unit/db/test_credentials tests/unit/db/test_audit tests/unit/db/test_retention \
	tests/unit/db/test_changes tests/unit/db/test_budgets tests/unit/db/test_plans tests/unit/db/test_usage \
	tests/unit/db/test_search tests/unit/db/test_idempotency
db_test_world = \
	tests/unit/db/fixture.c tests/unit/db/fixture.h \
	tests/unit/db/server.c tests/unit/db/server.h
db_test_accounts = tests/unit/db/accounts.c tests/unit/db/accounts.h $(db_test_world)
db_test_libs = libdb.a libnet.a libbase.a $(CMOCKA_LIBS) $(PQ_LIBS) $(CURL_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

tests_unit_db_test_pool_SOURCES = tests/unit/db/test_pool.c $(db_test_world)
tests_unit_db_test_pool_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_pool_LDADD = $(db_test_libs)

tests_unit_db_test_pool_faults_SOURCES = tests/unit/db/test_pool_faults.c $(db_test_world)
tests_unit_db_test_pool_faults_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_pool_faults_LDADD = $(db_test_libs)

tests_unit_db_test_pool_heavy_SOURCES = tests/unit/db/test_pool_heavy.c $(db_test_world)
tests_unit_db_test_pool_heavy_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_pool_heavy_LDADD = $(db_test_libs)

tests_unit_db_test_sqlstate_SOURCES = tests/unit/db/test_sqlstate.c
tests_unit_db_test_sqlstate_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_sqlstate_LDADD = $(db_test_libs)

tests_unit_db_test_turn_writes_SOURCES = tests/unit/db/test_turn_writes.c $(db_test_world)
tests_unit_db_test_turn_writes_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_turn_writes_LDADD = $(db_test_libs)

tests_unit_db_test_users_SOURCES = tests/unit/db/test_users.c $(db_test_accounts)
tests_unit_db_test_users_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_users_LDADD = $(db_test_libs)

tests_unit_db_test_logins_SOURCES = tests/unit/db/test_logins.c $(db_test_accounts)
tests_unit_db_test_logins_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_logins_LDADD = $(db_test_libs)

tests_unit_db_test_login_races_SOURCES = tests/unit/db/test_login_races.c $(db_test_accounts)
tests_unit_db_test_login_races_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_login_races_LDADD = $(db_test_libs)

tests_unit_db_test_refresh_SOURCES = tests/unit/db/test_refresh.c $(db_test_accounts)
tests_unit_db_test_refresh_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_refresh_LDADD = $(db_test_libs)

tests_unit_db_test_keys_SOURCES = tests/unit/db/test_keys.c $(db_test_accounts)
tests_unit_db_test_keys_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_keys_LDADD = $(db_test_libs)

tests_unit_db_test_credentials_SOURCES = tests/unit/db/test_credentials.c $(db_test_accounts)
tests_unit_db_test_credentials_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_credentials_LDADD = $(db_test_libs)

tests_unit_db_test_audit_SOURCES = tests/unit/db/test_audit.c $(db_test_accounts)
tests_unit_db_test_audit_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_audit_LDADD = $(db_test_libs)

tests_unit_db_test_retention_SOURCES = tests/unit/db/test_retention.c $(db_test_world)
tests_unit_db_test_retention_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_retention_LDADD = $(db_test_libs)

tests_unit_db_test_changes_SOURCES = tests/unit/db/test_changes.c $(db_test_accounts)
tests_unit_db_test_changes_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_changes_LDADD = $(db_test_libs)

tests_unit_db_test_budgets_SOURCES = tests/unit/db/test_budgets.c $(db_test_accounts)
tests_unit_db_test_budgets_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_budgets_LDADD = $(db_test_libs)

tests_unit_db_test_plans_SOURCES = tests/unit/db/test_plans.c $(db_test_world)
tests_unit_db_test_plans_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_plans_LDADD = $(db_test_libs)

tests_unit_db_test_usage_SOURCES = tests/unit/db/test_usage.c $(db_test_world)
tests_unit_db_test_usage_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_usage_LDADD = $(db_test_libs)

tests_unit_db_test_search_SOURCES = tests/unit/db/test_search.c $(db_test_world)
tests_unit_db_test_search_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_search_LDADD = $(db_test_libs)

tests_unit_db_test_idempotency_SOURCES = tests/unit/db/test_idempotency.c $(db_test_world)
tests_unit_db_test_idempotency_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_db_test_idempotency_LDADD = $(db_test_libs)
