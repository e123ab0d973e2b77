check_PROGRAMS += \
	tests/sim/test_answer \
	tests/sim/test_script

tests_sim_test_answer_SOURCES = tests/sim/test_answer.c sim/answer.c sim/say_openai.c sim/buf.c sim/error.c sim/script.c sim/text.c
tests_sim_test_answer_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_sim_test_answer_LDADD = $(CMOCKA_LIBS)

tests_sim_test_script_SOURCES = tests/sim/test_script.c sim/script.c
tests_sim_test_script_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_sim_test_script_LDADD = $(CMOCKA_LIBS)
