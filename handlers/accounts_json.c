/* Users as JSON. */
#include "handlers/accounts_json.h"

#include "base/account_rules.h"
#include "base/password.h"
#include "db/users.h"
#include "handlers/request.h"

void put_text_or_null(struct json_writer *w, const char *key, struct str s)
{
	json_key(w, key);
	if (s.len)
		json_put_str(w, s);
	else
		json_put_null(w);
}

static void put_brief_members(struct json_writer *w, struct str id, struct str username, struct str email, struct str role)
{
	json_add_str(w, "id", id);
	json_add_str(w, "username", username);
	put_text_or_null(w, "email", email);
	json_add_str(w, "role", role);
}

void put_user_brief(struct json_writer *w, struct str id, struct str username, struct str email, struct str role)
{
	json_open(w, '{');
	put_brief_members(w, id, username, email, role);
	json_close(w, '}');
}

void put_user(struct json_writer *w, const struct user_row *user)
{
	json_open(w, '{');
	put_brief_members(w, user->id, user->username, user->email, user->role);
	json_add_bool(w, "isActive", user->is_active);
	json_add_str(w, "createdAt", user->created_at);
	put_text_or_null(w, "lastLoginAt", user->last_login_at);
	json_close(w, '}');
}

static bool complain_if(const char *problem, const char *field, struct json_complaint *complaint)
{
	return problem ? json_complain(complaint, field, "%s", problem) : true;
}

bool read_password(const struct json *body, const char *field, struct str *password, struct json_complaint *complaint)
{
	return json_read_str(body, field, true, 0, PASSWORD_MAX_BYTES, password, complaint) &&
	       complain_if(password_problem(*password), field, complaint);
}

bool read_email(const struct json *body, struct str *email, bool *given, struct json_complaint *complaint)
{
	*email = STR("");
	*given = json_has(body, "email");
	if (!json_get(body, "email")) /* absent or null */
		return true;
	return json_read_str(body, "email", true, 0, EMAIL_MAX_CHARS, email, complaint) &&
	       (email->len == 0 || complain_if(email_problem(*email), "email", complaint));
}

bool read_new_account(const struct json *body, struct str *username, struct str *email, struct str *password, struct json_complaint *complaint)
{
	bool given;

	return json_read_str(body, "username", true, 0, USERNAME_MAX_CHARS, username, complaint) &&
	       complain_if(username_problem(*username), "username", complaint) && read_password(body, "password", password, complaint) &&
	       read_email(body, email, &given, complaint);
}

enum flow_next refuse_user_conflict(struct request *r)
{
	cache_fail(&r->cached, r->query->op.err);
	if (r->query->op.err != -ERR_CONFLICT)
		return request_reject(r, r->query->op.err);
	if (str_eq(query_constraint(r->query), STR("users_email_key")))
		return request_reject_because(r, ERR_CONFLICT, "email", "Somebody else has this email already.");
	return request_reject_because(r, ERR_CONFLICT, "username", "Somebody else has this username already.");
}

enum flow_next reply_user(struct request *r, bool created)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	struct user_row user;

	if (query_n_rows(r->query) == 0) {
		cache_give_nothing(&r->cached);
		return request_reject(r, ERR_USER_NOT_FOUND);
	}
	user = users_row(r->query, 0);
	put_user(&w, &user);
	cache_give(&r->cached, buf_str(&b), true);
	if (created)
		request_reply_created(r, buf_str(&b));
	else
		request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}
