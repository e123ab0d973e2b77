check_PROGRAMS += \
	tests/unit/net/test_ca_file \
	tests/unit/net/test_http \
	tests/unit/net/test_resolver
net_test_libs = libnet.a libbase.a $(CMOCKA_LIBS) $(CURL_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

tests_unit_net_test_ca_file_SOURCES = tests/unit/net/test_ca_file.c tests/unit/support.h
tests_unit_net_test_ca_file_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_net_test_ca_file_LDADD = $(net_test_libs)

tests_unit_net_test_http_SOURCES = tests/unit/net/test_http.c tests/unit/support.h tests/unit/net/peer.h
tests_unit_net_test_http_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_net_test_http_LDADD = $(net_test_libs)

tests_unit_net_test_resolver_SOURCES = tests/unit/net/test_resolver.c tests/unit/support.h
tests_unit_net_test_resolver_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS) $(UV_CFLAGS)
tests_unit_net_test_resolver_LDADD = $(net_test_libs)
