check_PROGRAMS += \
	tests/unit/llm/test_anthropic \
	tests/unit/llm/test_dify \
	tests/unit/llm/test_fastgpt \
	tests/unit/llm/test_openai \
	tests/unit/llm/test_sse \
	tests/unit/llm/test_stream
llm_test_libs = libllm.a libnet.a libbase.a $(CMOCKA_LIBS) $(CURL_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

tests_unit_llm_test_anthropic_SOURCES = tests/unit/llm/test_anthropic.c tests/unit/llm/transcript.h tests/unit/support.h
tests_unit_llm_test_anthropic_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_llm_test_anthropic_LDADD = $(llm_test_libs)

tests_unit_llm_test_fastgpt_SOURCES = tests/unit/llm/test_fastgpt.c tests/unit/llm/transcript.h tests/unit/support.h
tests_unit_llm_test_fastgpt_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_llm_test_fastgpt_LDADD = $(llm_test_libs)

tests_unit_llm_test_dify_SOURCES = tests/unit/llm/test_dify.c tests/unit/llm/transcript.h tests/unit/support.h
tests_unit_llm_test_dify_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_llm_test_dify_LDADD = $(llm_test_libs)

tests_unit_llm_test_openai_SOURCES = tests/unit/llm/test_openai.c tests/unit/support.h
tests_unit_llm_test_openai_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_llm_test_openai_LDADD = $(llm_test_libs)

tests_unit_llm_test_sse_SOURCES = tests/unit/llm/test_sse.c tests/unit/support.h
tests_unit_llm_test_sse_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_llm_test_sse_LDADD = $(llm_test_libs)

tests_unit_llm_test_stream_SOURCES = tests/unit/llm/test_stream.c tests/unit/support.h tests/unit/net/peer.h
tests_unit_llm_test_stream_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_llm_test_stream_LDADD = $(llm_test_libs)
