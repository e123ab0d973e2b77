-- Audit entries of one type, or of all that begin with a word and a dot: byte by byte, so that the beginning of a word is a range.
DROP INDEX audit_log_type;
CREATE INDEX audit_log_type ON audit_log (type text_pattern_ops, id);
