# Fuzzers, with --enable-fuzzing (clang). `make fuzz` runs each for a minute.
if FUZZING
noinst_PROGRAMS += tests/fuzz/fuzz_record tests/fuzz/fuzz_request tests/fuzz/fuzz_sse tests/fuzz/fuzz_json tests/fuzz/fuzz_json_scan \
	tests/fuzz/fuzz_conf tests/fuzz/fuzz_jwt tests/fuzz/fuzz_anthropic tests/fuzz/fuzz_dify tests/fuzz/fuzz_fastgpt
endif
fuzz_ldflags = $(AM_LDFLAGS) -fsanitize=fuzzer

tests_fuzz_fuzz_record_SOURCES = tests/fuzz/fuzz_record.c
tests_fuzz_fuzz_record_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_record_LDADD = libfcgi_server.a libbase.a $(FCGI_LIBS) $(JSON_LIBS) -lm

tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c
tests_fuzz_fuzz_request_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_request_LDADD = libfcgi_server.a libbase.a $(FCGI_LIBS) $(JSON_LIBS) $(UV_LIBS) -lm

tests_fuzz_fuzz_sse_SOURCES = tests/fuzz/fuzz_sse.c
tests_fuzz_fuzz_sse_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_sse_LDADD = libllm.a libnet.a libbase.a $(CURL_LIBS) $(JSON_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) -lm

tests_fuzz_fuzz_anthropic_SOURCES = tests/fuzz/fuzz_anthropic.c tests/fuzz/fuzz_dialect.h
tests_fuzz_fuzz_anthropic_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_anthropic_LDADD = $(tests_fuzz_fuzz_sse_LDADD)

tests_fuzz_fuzz_dify_SOURCES = tests/fuzz/fuzz_dify.c tests/fuzz/fuzz_dialect.h
tests_fuzz_fuzz_dify_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_dify_LDADD = $(tests_fuzz_fuzz_sse_LDADD)

tests_fuzz_fuzz_fastgpt_SOURCES = tests/fuzz/fuzz_fastgpt.c tests/fuzz/fuzz_dialect.h
tests_fuzz_fuzz_fastgpt_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_fastgpt_LDADD = $(tests_fuzz_fuzz_sse_LDADD)

tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c
tests_fuzz_fuzz_json_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_json_LDADD = libbase.a $(JSON_LIBS) -lm

tests_fuzz_fuzz_json_scan_SOURCES = tests/fuzz/fuzz_json_scan.c
tests_fuzz_fuzz_json_scan_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_json_scan_LDADD = libbase.a $(JSON_LIBS) -lm

tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c
tests_fuzz_fuzz_conf_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_conf_LDADD = libbase.a $(JSON_LIBS) -lm

tests_fuzz_fuzz_jwt_SOURCES = tests/fuzz/fuzz_jwt.c
tests_fuzz_fuzz_jwt_LDFLAGS = $(fuzz_ldflags)
tests_fuzz_fuzz_jwt_LDADD = libbase.a $(JWT_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS)

EXTRA_DIST += tests/fuzz/run.sh tests/fuzz/corpus

.PHONY: fuzz
fuzz:
	$(srcdir)/tests/fuzz/run.sh .
