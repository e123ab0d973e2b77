noinst_LIBRARIES += libllm.a
libllm_a_CPPFLAGS = $(AM_CPPFLAGS)
libllm_a_SOURCES = \
	llm/anthropic.c \
	llm/body.c llm/body.h \
	llm/dify.c \
	llm/emit.c llm/emit.h \
	llm/farewell.c llm/farewell.h \
	llm/fastgpt.c \
	llm/openai.c \
	llm/provider.c llm/provider.h \
	llm/sse.c llm/sse.h \
	llm/stream.c llm/stream.h
