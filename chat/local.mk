noinst_LIBRARIES += libchat.a
libchat_a_CPPFLAGS = $(AM_CPPFLAGS)
libchat_a_SOURCES = \
	chat/agent.c chat/agent.h \
	chat/agents.c chat/agents.h \
	chat/answer.c chat/answer.h \
	chat/sweeper.c chat/sweeper.h \
	chat/turn.c chat/turn.h \
	chat/turns.c chat/turns.h
