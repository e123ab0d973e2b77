noinst_LIBRARIES += libauth.a
libauth_a_CPPFLAGS = $(AM_CPPFLAGS)
libauth_a_SOURCES = \
	auth/auth.c auth/auth.h \
	auth/first_admin.c auth/first_admin.h \
	auth/people.c auth/people.h
