check_PROGRAMS += \
	tests/unit/fcgi/test_conn \
	tests/unit/fcgi/test_record \
	tests/unit/fcgi/test_request \
	tests/unit/fcgi/test_server
fcgi_test_libs = libfcgi_server.a libbase.a $(CMOCKA_LIBS) $(FCGI_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

tests_unit_fcgi_test_conn_SOURCES = tests/unit/fcgi/test_conn.c tests/unit/support.h tests/unit/fcgi/records.h tests/unit/fcgi/world.h
tests_unit_fcgi_test_conn_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_fcgi_test_conn_LDADD = $(fcgi_test_libs)

tests_unit_fcgi_test_record_SOURCES = tests/unit/fcgi/test_record.c tests/unit/support.h tests/unit/fcgi/records.h
tests_unit_fcgi_test_record_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_fcgi_test_record_LDADD = $(fcgi_test_libs)

tests_unit_fcgi_test_request_SOURCES = tests/unit/fcgi/test_request.c tests/unit/support.h tests/unit/fcgi/records.h
tests_unit_fcgi_test_request_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_fcgi_test_request_LDADD = $(fcgi_test_libs)

tests_unit_fcgi_test_server_SOURCES = tests/unit/fcgi/test_server.c tests/unit/support.h tests/unit/fcgi/records.h tests/unit/fcgi/world.h
tests_unit_fcgi_test_server_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_fcgi_test_server_LDADD = $(fcgi_test_libs)
