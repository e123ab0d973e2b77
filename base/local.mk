noinst_LIBRARIES += libbase.a
libbase_a_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS) $(SODIUM_CFLAGS) $(ARGON2_CFLAGS) $(JWT_CFLAGS) $(JSON_CFLAGS)
libbase_a_SOURCES = \
	base/account_rules.c base/account_rules.h \
	base/arena.c base/arena.h \
	base/backoff.c base/backoff.h \
	base/breaker.c base/breaker.h \
	base/breaker_table.c base/breaker_table.h \
	base/buf.c base/buf.h \
	base/clock.c base/clock.h \
	base/conf.c base/conf.h \
	base/control.c base/control.h \
	base/crypto.c base/crypto.h \
	base/err.c base/err.h \
	base/json.c base/json_write.c base/json.h \
	base/json_scan.c base/json_scan.h \
	base/jwt.c base/jwt.h \
	base/list.h \
	base/log.c base/log.h \
	base/loop.c base/loop.h \
	base/mem.c base/mem.h \
	base/op.h \
	base/password.c base/password.h \
	base/process.c base/process.h \
	base/retry_budget.c base/retry_budget.h \
	base/seal.c base/seal.h \
	base/secret.c base/secret.h \
	base/siblings.c base/siblings.h \
	base/str.c base/str.h \
	base/tokens.c base/tokens.h \
	base/uuid.c base/uuid.h \
	base/worker.c base/worker.h
