# The stand-in provider for tests and load benches. It shares no code with the rest.
bin_PROGRAMS += llmchat-provider-sim
llmchat_provider_sim_SOURCES = \
	sim/answer.c sim/answer.h \
	sim/ask.c sim/ask.h \
	sim/buf.c sim/buf.h \
	sim/conn.c sim/conn.h \
	sim/deliver.c sim/deliver.h \
	sim/dialect.h \
	sim/error.c sim/error.h \
	sim/http.c sim/http.h \
	sim/http_head.c sim/http_head.h \
	sim/main.c \
	sim/pace.c sim/pace.h \
	sim/play.c sim/play.h \
	sim/reply.c sim/reply.h \
	sim/route.c sim/route.h \
	sim/say_anthropic.c sim/say_dify.c sim/say_fastgpt.c sim/say_openai.c \
	sim/scan.c sim/scan.h \
	sim/script.c sim/script.h \
	sim/sim.h \
	sim/text.c sim/text.h \
	sim/unescape.c sim/unescape.h
llmchat_provider_sim_CPPFLAGS = $(AM_CPPFLAGS) $(UV_CFLAGS)
llmchat_provider_sim_LDADD = $(UV_LIBS)

EXTRA_DIST += sim/README.md
