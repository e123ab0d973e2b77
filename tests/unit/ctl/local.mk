check_PROGRAMS += tests/unit/ctl/test_migrate tests/unit/ctl/test_prompt tests/unit/ctl/test_llmchatctl

tests_unit_ctl_test_migrate_SOURCES = tests/unit/ctl/test_migrate.c ctl/migrate.c ctl/migrate.h
tests_unit_ctl_test_migrate_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_ctl_test_migrate_LDADD = libbase.a $(CMOCKA_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

tests_unit_ctl_test_prompt_SOURCES = tests/unit/ctl/test_prompt.c tests/unit/support.h ctl/prompt.c ctl/prompt.h
tests_unit_ctl_test_prompt_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_ctl_test_prompt_LDADD = libbase.a $(CMOCKA_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

# Runs ./llmchatctl (or $LLMCHATCTL).
tests_unit_ctl_test_llmchatctl_SOURCES = tests/unit/ctl/test_llmchatctl.c tests/unit/db/server.c tests/unit/db/server.h
tests_unit_ctl_test_llmchatctl_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_ctl_test_llmchatctl_LDADD = $(CMOCKA_LIBS)
