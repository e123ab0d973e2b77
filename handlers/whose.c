/* Who may read what; nobody may write another's. */
#include "handlers/whose.h"

#include "auth/people.h"
#include "db/audit.h"
#include "handlers/access.h"
#include "handlers/request.h"
#include "handlers/router.h"

bool chat_id_valid(struct str chat_id)
{
	return chat_id.len >= 1 && chat_id.len <= CHAT_ID_MAX && str_only(chat_id, STR(NAME_CHARS ":"));
}

struct session_owner whose(const struct request *r)
{
	return (struct session_owner){uuid_str(&r->user_id), r->person ? r->person->agents : STR("")};
}

/* Is the :id, if the route has one, something that a session can be called? */
static bool ref_valid(const struct request *r)
{
	return !strchr(r->route->pattern, ':') || chat_id_valid(r->path_params[0]);
}

/* ?userId, if it is somebody else's. */
static bool names_another(struct request *r, struct str *user_id)
{
	return request_query(r, "userId", user_id) && !str_eq_nocase(*user_id, uuid_str(&r->user_id));
}

enum flow_next whose_read_start(struct request *r)
{
	struct audit_who who = access_who(r);
	struct str user_id;

	if (!ref_valid(r))
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	if (!names_another(r, &user_id))
		return FLOW_NEXT;
	if (!uuid_valid(user_id))
		return request_reject_because(r, ERR_VALIDATION, "userId", "userId must be the id of a user.");
	if (!r->person || !r->person->is_admin || r->person->by != PERSON_BY_LOGIN)
		return request_reject(r, ERR_ADMIN_REQUIRED);
	r->user_id = uuid_from(user_id);
	audit_note_reading(r->app->pool, r->query, &who, uuid_str(&r->user_id), str_from(r->route->pattern), r->path_params[0]);
	return FLOW_WAIT;
}

enum flow_next whose_read_finish(struct request *r)
{
	if (r->query->op.err) /* what cannot be noted is not read */
		return request_reject(r, r->query->op.err);
	query_fini(r->query);
	return FLOW_NEXT;
}

enum flow_next whose_write_start(struct request *r)
{
	struct str user_id;

	if (!ref_valid(r))
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	if (names_another(r, &user_id))
		return request_reject_because(r, ERR_FORBIDDEN, "userId", "Sessions of others can be read, not changed; leave userId out.");
	return FLOW_NEXT;
}
