-- What is kept of a user shows his e-mail address, too: whoever changes it, by psql or otherwise, has it noted like his name. The same columns
-- as before, and that one. A login is not noted, though it moves last_login_at: each would hold the row of version.
CREATE OR REPLACE TRIGGER users_changed AFTER UPDATE OF username, email, role, is_active ON users FOR EACH ROW
	WHEN ((OLD.username, OLD.email, OLD.role, OLD.is_active) IS DISTINCT FROM (NEW.username, NEW.email, NEW.role, NEW.is_active))
	EXECUTE FUNCTION note_change('user');
