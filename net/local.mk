noinst_LIBRARIES += libnet.a
libnet_a_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS) $(CURL_CFLAGS)
libnet_a_SOURCES = \
	net/ca_file.c net/ca_file.h \
	net/http.c net/http.h \
	net/resolver.c net/resolver.h
