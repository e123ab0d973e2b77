check_PROGRAMS += tests/sim/test_script
tests_sim_test_script_SOURCES = tests/sim/test_script.c sim/script.c
tests_sim_test_script_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_sim_test_script_LDADD = $(CMOCKA_LIBS)
