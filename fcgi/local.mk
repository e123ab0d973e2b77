noinst_LIBRARIES += libfcgi_server.a
libfcgi_server_a_CPPFLAGS = $(AM_CPPFLAGS)
libfcgi_server_a_SOURCES = \
	fcgi/conn.c fcgi/conn.h \
	fcgi/record.c fcgi/record.h \
	fcgi/request.c fcgi/request.h \
	fcgi/server.c fcgi/server.h
