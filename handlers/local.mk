noinst_LIBRARIES += libhandlers.a
libhandlers_a_CPPFLAGS = $(AM_CPPFLAGS)
libhandlers_a_SOURCES = \
	handlers/access.c handlers/access.h \
	handlers/account.c handlers/account.h \
	handlers/accounts_json.c handlers/accounts_json.h \
	handlers/admin.c handlers/admin.h \
	handlers/admin_agents.c handlers/admin_agents.h \
	handlers/admin_breakers.c handlers/admin_breakers.h \
	handlers/admin_pool.c handlers/admin_pool.h \
	handlers/admin_users.c handlers/admin_users.h \
	handlers/agent_write.c handlers/agent_write.h \
	handlers/agents.c handlers/agents.h \
	handlers/agents_import.c handlers/agents_import.h \
	handlers/agents_json.c handlers/agents_json.h \
	handlers/app.h \
	handlers/analytics.c handlers/analytics.h \
	handlers/body.c handlers/body.h \
	handlers/cached.c handlers/cached.h \
	handlers/chat.c handlers/chat.h \
	handlers/chat_begin.c handlers/chat_begin.h \
	handlers/chat_content.c handlers/chat_content.h \
	handlers/chat_request.c handlers/chat_request.h \
	handlers/chat_stop.c handlers/chat_stop.h \
	handlers/cors.c handlers/cors.h \
	handlers/cursor.c handlers/cursor.h \
	handlers/export_format.c handlers/export_format.h \
	handlers/face.h \
	handlers/flow.c handlers/flow.h \
	handlers/health.c handlers/health.h \
	handlers/history.c handlers/history.h \
	handlers/health_detailed.c \
	handlers/host.c handlers/host.h \
	handlers/keys.c handlers/keys.h \
	handlers/limit.c handlers/limit.h \
	handlers/login.c handlers/login.h \
	handlers/owner.c handlers/owner.h \
	handlers/page.c handlers/page.h \
	handlers/render.c handlers/render.h \
	handlers/reply.c \
	handlers/request.c handlers/request.h \
	handlers/reserve.c handlers/reserve.h \
	handlers/round.c handlers/round.h \
	handlers/router.c handlers/router.h \
	handlers/search.c handlers/search.h \
	handlers/session_edit.c handlers/session_edit.h \
	handlers/session_export.c handlers/session_export.h \
	handlers/session_json.c handlers/session_json.h \
	handlers/session_list.c handlers/session_list.h \
	handlers/sessions.c handlers/sessions.h \
	handlers/snippet.c handlers/snippet.h \
	handlers/whose.c handlers/whose.h \
	handlers/v1_chat.c handlers/v1_chat.h \
	handlers/v1_error.c handlers/v1_error.h \
	handlers/v1_models.c handlers/v1_models.h \
	handlers/v1_render.c handlers/v1_render.h \
	handlers/v1_request.c handlers/v1_request.h \
	handlers/v1_tools.c handlers/v1_tools.h
