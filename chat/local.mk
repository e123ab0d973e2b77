noinst_LIBRARIES += libchat.a
libchat_a_CPPFLAGS = $(AM_CPPFLAGS)
libchat_a_SOURCES = \
	chat/agent.c chat/agent.h \
	chat/agent_fields.c chat/agent_fields.h \
	chat/agent_probe.c chat/agent_probe.h \
	chat/agent_seeds.c chat/agent_seeds.h \
	chat/agents.c chat/agents.h \
	chat/answer.c chat/answer.h \
	chat/call.c chat/call.h \
	chat/jobs.c chat/jobs.h \
	chat/places.c chat/places.h \
	chat/reservation.c chat/reservation.h \
	chat/session_copy.c chat/session_copy.h \
	chat/sweeper.c chat/sweeper.h \
	chat/turn.c chat/turn.h \
	chat/turn_log.c chat/turn_log.h \
	chat/turns.c chat/turns.h
