noinst_LIBRARIES += libdb.a
libdb_a_CPPFLAGS = $(AM_CPPFLAGS) $(PQ_CFLAGS)
libdb_a_SOURCES = \
	db/agents.c db/agents.h \
	db/audit.c db/audit.h \
	db/budgets.c db/budgets.h \
	db/changes.c db/changes.h \
	db/conns.c \
	db/credentials.c db/credentials.h \
	db/idempotency.c db/idempotency.h \
	db/keys.c db/keys.h \
	db/logins.c db/logins.h \
	db/messages.c db/messages.h \
	db/pg.c db/pg.h \
	db/pool.c db/pool.h db/pool_inside.h \
	db/query.c db/query.h \
	db/retention.c db/retention.h \
	db/sessions.c db/sessions.h db/sessions_sql.h \
	db/search.c db/search.h \
	db/sql.h \
	db/sqlstate.c db/sqlstate.h \
	db/statements.c db/statements.h \
	db/text_array.c db/text_array.h \
	db/turn_sql.c db/turn_sql.h \
	db/turn_writes.c db/turn_writes.h \
	db/usage.c db/usage.h \
	db/users.c db/users.h
