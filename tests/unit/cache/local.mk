check_PROGRAMS += \
	tests/unit/cache/test_cache \
	tests/unit/cache/test_copies \
	tests/unit/cache/test_entry \
	tests/unit/cache/test_inflight \
	tests/unit/cache/test_local_limit \
	tests/unit/cache/test_quota \
	tests/unit/cache/test_lock \
	tests/unit/cache/test_ratelimit \
	tests/unit/cache/test_redis \
	tests/unit/cache/test_redis_peer \
	tests/unit/cache/test_resp
cache_test_libs = libcache.a libnet.a libbase.a $(CMOCKA_LIBS) $(HIREDIS_LIBS) $(CURL_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)
cache_test_world = tests/unit/cache/world.c tests/unit/cache/world.h tests/unit/support.h

tests_unit_cache_test_inflight_SOURCES = tests/unit/cache/test_inflight.c $(cache_test_world)
tests_unit_cache_test_inflight_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_inflight_LDADD = $(cache_test_libs)

tests_unit_cache_test_local_limit_SOURCES = tests/unit/cache/test_local_limit.c tests/unit/support.h
tests_unit_cache_test_local_limit_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_local_limit_LDADD = $(cache_test_libs)

tests_unit_cache_test_quota_SOURCES = tests/unit/cache/test_quota.c $(cache_test_world)
tests_unit_cache_test_quota_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_quota_LDADD = $(cache_test_libs)

tests_unit_cache_test_ratelimit_SOURCES = tests/unit/cache/test_ratelimit.c $(cache_test_world)
tests_unit_cache_test_ratelimit_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_ratelimit_LDADD = $(cache_test_libs)

tests_unit_cache_test_redis_SOURCES = tests/unit/cache/test_redis.c $(cache_test_world)
tests_unit_cache_test_redis_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_redis_LDADD = $(cache_test_libs)

tests_unit_cache_test_redis_peer_SOURCES = tests/unit/cache/test_redis_peer.c tests/unit/net/peer.h $(cache_test_world)
tests_unit_cache_test_redis_peer_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_redis_peer_LDADD = $(cache_test_libs)

tests_unit_cache_test_resp_SOURCES = tests/unit/cache/test_resp.c tests/unit/support.h
tests_unit_cache_test_resp_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_resp_LDADD = $(cache_test_libs)

tests_unit_cache_test_cache_SOURCES = tests/unit/cache/test_cache.c $(cache_test_world)
tests_unit_cache_test_cache_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_cache_LDADD = $(cache_test_libs)

tests_unit_cache_test_copies_SOURCES = tests/unit/cache/test_copies.c tests/unit/support.h
tests_unit_cache_test_copies_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_copies_LDADD = $(cache_test_libs)

tests_unit_cache_test_entry_SOURCES = tests/unit/cache/test_entry.c tests/unit/support.h
tests_unit_cache_test_entry_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_entry_LDADD = $(cache_test_libs)

tests_unit_cache_test_lock_SOURCES = tests/unit/cache/test_lock.c $(cache_test_world)
tests_unit_cache_test_lock_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_cache_test_lock_LDADD = $(cache_test_libs)
