noinst_LIBRARIES += libcache.a
libcache_a_CPPFLAGS = $(AM_CPPFLAGS) $(HIREDIS_CFLAGS)
libcache_a_SOURCES = \
	cache/cache.c cache/cache.h cache/cache_inside.h \
	cache/cache_drop.c \
	cache/copies.c cache/copies.h \
	cache/entry.c cache/entry.h \
	cache/inflight.c cache/inflight.h \
	cache/local_limit.c cache/local_limit.h \
	cache/quota.c cache/quota.h \
	cache/lock.c cache/lock.h \
	cache/ratelimit.c cache/ratelimit.h \
	cache/redis.c cache/redis.h \
	cache/redis_address.c cache/redis_address.h \
	cache/redis_errors.c cache/redis_errors.h \
	cache/resp.c cache/resp.h \
	cache/script.c cache/script.h
