# The load generator and the scripts that measure with it. Not installed: bench/run builds, and brings a stack of its own.
noinst_PROGRAMS += bench/load
bench_load_SOURCES = \
	bench/check.c bench/check_text.c bench/check.h \
	bench/client.c bench/client.h \
	bench/histogram.c bench/histogram.h \
	bench/http.c bench/http.h \
	bench/load.c \
	bench/options.c bench/options.h \
	bench/request.c bench/request.h \
	bench/tally.c bench/tally.h
bench_load_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS)
bench_load_LDADD = libbase.a $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

EXTRA_DIST += bench/README.md bench/run bench/streams bench/completions bench/faults bench/soak bench/limits bench/turn.sql bench/floor.conf.in \
	bench/faults.py bench/main.py bench/measure.py bench/report.py bench/rig.py bench/search.sql bench/soak.py
