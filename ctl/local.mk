bin_PROGRAMS += llmchatctl
llmchatctl_CPPFLAGS = $(AM_CPPFLAGS) $(PQ_CFLAGS) -DLLMCHAT_SQL_DIR='"$(pkgdatadir)/sql"' -DLLMCHAT_CONF_DIR='"$(pkgdatadir)/conf"'
llmchatctl_SOURCES = \
	ctl/accounts.c ctl/accounts.h \
	ctl/age.c ctl/age.h \
	ctl/args.c ctl/args.h \
	ctl/ask.c ctl/ask.h \
	ctl/breakers_command.c ctl/breakers_command.h \
	ctl/db_command.c ctl/db_command.h \
	ctl/db_status.c ctl/db_status.h \
	ctl/main.c \
	ctl/migrate.c ctl/migrate.h \
	ctl/migrate_command.c ctl/migrate_command.h \
	ctl/pg_sync.c ctl/pg_sync.h \
	ctl/pool_commands.c ctl/pool_commands.h \
	ctl/prompt.c ctl/prompt.h \
	ctl/secrets_command.c ctl/secrets_command.h \
	ctl/token_command.c ctl/token_command.h \
	ctl/user_command.c ctl/user_command.h \
	ctl/user_list.c ctl/user_list.h

llmchatctl_LDADD = libdb.a libnet.a libbase.a $(PQ_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS) $(JWT_LIBS)
