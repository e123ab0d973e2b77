-- What an answer had beside its text, for whoever reads it once more: reasoning, tool calls, what it asks its user. Only of answers that
-- somebody may ask for again (chat/replay writes and reads it); the program before this one leaves it empty.
ALTER TABLE chat_messages ADD COLUMN beside text;
