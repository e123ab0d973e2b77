noinst_LIBRARIES += libhandlers.a
libhandlers_a_CPPFLAGS = $(AM_CPPFLAGS)
libhandlers_a_SOURCES = \
	handlers/agents.c handlers/agents.h \
	handlers/app.h \
	handlers/body.c handlers/body.h \
	handlers/chat.c handlers/chat.h \
	handlers/chat_request.c handlers/chat_request.h \
	handlers/flow.c handlers/flow.h \
	handlers/health.c handlers/health.h \
	handlers/owner.c handlers/owner.h \
	handlers/render.c handlers/render.h \
	handlers/reply.c \
	handlers/request.c handlers/request.h \
	handlers/router.c handlers/router.h \
	handlers/sessions.c handlers/sessions.h
