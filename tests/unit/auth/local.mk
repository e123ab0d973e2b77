check_PROGRAMS += tests/unit/auth/test_people
tests_unit_auth_test_people_SOURCES = tests/unit/auth/test_people.c
tests_unit_auth_test_people_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_auth_test_people_LDADD = libauth.a libbase.a $(CMOCKA_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)
