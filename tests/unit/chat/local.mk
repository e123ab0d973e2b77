check_PROGRAMS += tests/unit/chat/test_answer tests/unit/chat/test_agent tests/unit/chat/test_jobs \
	tests/unit/chat/test_agent_fields tests/unit/chat/test_agents tests/unit/chat/test_dedup tests/unit/chat/test_replay \
	tests/unit/chat/test_turn_hash
chat_test_libs = libchat.a libllm.a libcache.a libdb.a libnet.a libbase.a $(CMOCKA_LIBS) $(PQ_LIBS) $(HIREDIS_LIBS) $(CURL_LIBS) $(UV_LIBS) $(SODIUM_LIBS) $(ARGON2_LIBS) $(JSON_LIBS)

tests_unit_chat_test_answer_SOURCES = tests/unit/chat/test_answer.c
tests_unit_chat_test_answer_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chat_test_answer_LDADD = $(chat_test_libs)

tests_unit_chat_test_agent_SOURCES = tests/unit/chat/test_agent.c
tests_unit_chat_test_agent_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chat_test_agent_LDADD = $(chat_test_libs)

tests_unit_chat_test_jobs_SOURCES = tests/unit/chat/test_jobs.c $(db_test_world)
tests_unit_chat_test_jobs_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chat_test_jobs_LDADD = $(chat_test_libs)

tests_unit_chat_test_agent_fields_SOURCES = tests/unit/chat/test_agent_fields.c tests/unit/support.h
tests_unit_chat_test_agent_fields_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chat_test_agent_fields_LDADD = $(chat_test_libs)

tests_unit_chat_test_agents_SOURCES = tests/unit/chat/test_agents.c $(db_test_world)
tests_unit_chat_test_agents_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chat_test_agents_LDADD = $(chat_test_libs)

tests_unit_chat_test_dedup_SOURCES = tests/unit/chat/test_dedup.c $(cache_test_world)
tests_unit_chat_test_dedup_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chat_test_dedup_LDADD = $(chat_test_libs)

tests_unit_chat_test_replay_SOURCES = tests/unit/chat/test_replay.c tests/unit/support.h
tests_unit_chat_test_replay_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chat_test_replay_LDADD = $(chat_test_libs)

tests_unit_chat_test_turn_hash_SOURCES = tests/unit/chat/test_turn_hash.c tests/unit/support.h
tests_unit_chat_test_turn_hash_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_chat_test_turn_hash_LDADD = $(chat_test_libs)
