-- A turn as two statements of its own, for pgbench -M prepared: what open_turns and end_turns of db/turn_writes.c do for one turn (look
-- whether they are still the same when a figure surprises). Values that differ from turn to turn are variables, the others literals.
-- Two commits, as a responder makes them: the model talks in between.
-- -D base=N: where the numbers of this run begin. Ids grow with time, as the responders' do; as 32 decimal digits they are UUIDs.
\set turn :turn + 1
\set question :base + :turn * 2000 + :client_id * 2
\set answer :question + 1
WITH session AS (
 INSERT INTO chat_sessions (id, user_id, anonymous, name, agent_id, title, message_count)
 VALUES (lpad(:question, 32, '0')::uuid, lpad(:client_id, 32, '0')::uuid, 'true'::boolean, lpad(:question, 36, '0'), 'instant', 'Question', 2)
), question AS (
 INSERT INTO chat_messages (id, session_id, client_id, role, content, parts, status, agent_id, ended_at)
 VALUES (lpad(:question, 32, '0')::uuid, lpad(:question, 32, '0')::uuid, nullif('', ''), 'user', 'Question 12345', nullif('', '')::jsonb, 'complete', 'instant', now())
) INSERT INTO chat_messages (id, session_id, parent_id, client_id, role, content, status, agent_id, provider, model,
  owner_node, owner_slot, owner_generation)
 VALUES (lpad(:answer, 32, '0')::uuid, lpad(:question, 32, '0')::uuid, lpad(:question, 32, '0')::uuid, nullif('', ''), 'assistant', '', 'streaming', 'instant',
  'custom', 'sim-n20-d0', 'pgbench', 1::integer, 1::bigint);
UPDATE chat_messages SET content = 'tok0 tok1 tok2 tok3 tok4 tok5 tok6 tok7 tok8 tok9 tok10 tok11 tok12 tok13 tok14 tok15 tok16 tok17 tok18 tok19 ',
 status = 'complete', finish_reason = nullif('stop', ''), error_code = NULL,
 prompt_tokens = 4::bigint, completion_tokens = 20::bigint, total_tokens = 24::bigint,
 first_event_ms = 1::integer, took_ms = 2::integer, ended_at = now(),
 usage_estimated = 'false'::boolean
 WHERE id = lpad(:answer, 32, '0')::uuid AND (status = 'streaming' OR (status = 'interrupted' AND error_code = 'SERVER_DIED'));
