check_PROGRAMS += tests/unit/handlers/test_cursor tests/unit/handlers/test_export_format tests/unit/handlers/test_host tests/unit/handlers/test_request
tests_unit_handlers_test_request_SOURCES = tests/unit/handlers/test_request.c
tests_unit_handlers_test_request_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_handlers_test_request_LDADD = libhandlers.a libauth.a libchat.a libllm.a libfcgi_server.a libdb.a libcache.a libnet.a libbase.a \
	$(CMOCKA_LIBS) $(FCGI_LIBS) $(PQ_LIBS) $(HIREDIS_LIBS) $(CURL_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JWT_LIBS) $(JSON_LIBS)

tests_unit_handlers_test_host_SOURCES = tests/unit/handlers/test_host.c tests/unit/support.h
tests_unit_handlers_test_host_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_handlers_test_host_LDADD = $(tests_unit_handlers_test_request_LDADD)

tests_unit_handlers_test_cursor_SOURCES = tests/unit/handlers/test_cursor.c
tests_unit_handlers_test_cursor_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_handlers_test_cursor_LDADD = $(tests_unit_handlers_test_request_LDADD)

tests_unit_handlers_test_export_format_SOURCES = tests/unit/handlers/test_export_format.c
tests_unit_handlers_test_export_format_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_handlers_test_export_format_LDADD = $(tests_unit_handlers_test_request_LDADD)

check_PROGRAMS += tests/unit/handlers/test_v1
tests_unit_handlers_test_v1_SOURCES = tests/unit/handlers/test_v1.c tests/unit/support.h
tests_unit_handlers_test_v1_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_handlers_test_v1_LDADD = $(tests_unit_handlers_test_request_LDADD)

check_PROGRAMS += tests/unit/handlers/test_snippet
tests_unit_handlers_test_snippet_SOURCES = tests/unit/handlers/test_snippet.c tests/unit/support.h
tests_unit_handlers_test_snippet_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_handlers_test_snippet_LDADD = $(tests_unit_handlers_test_request_LDADD)
