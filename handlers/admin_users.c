/* What administrators do with users. Each change is in the audit log by the statement that makes it. */
#include "handlers/admin_users.h"

#include "auth/auth.h"
#include "auth/people.h"
#include "base/account_rules.h"
#include "db/users.h"
#include "handlers/access.h"
#include "handlers/accounts_json.h"
#include "handlers/body.h"
#include "handlers/cached.h"
#include "handlers/page.h"
#include "handlers/request.h"

enum { DEFAULT_PAGE = 50, MAX_SEARCH = 100 };

static bool is_role(struct str s)
{
	return str_eq(s, STR("user")) || str_eq(s, STR("admin"));
}

static bool check_role(struct str role, struct json_complaint *c)
{
	return is_role(role) ? true : json_complain(c, "role", "role must be user or admin.");
}

/* ---- list, get ---- */

static enum flow_next list_start(struct request *r)
{
	struct page *page = arena_alloc(&r->arena, sizeof(*page));
	struct str search = STR("");

	r->state = page;
	page->size = DEFAULT_PAGE;
	if (!page_read(r, page, USERS_MAX_PAGE))
		return FLOW_DONE;
	if (request_query(r, "q", &search) && (search.len > MAX_SEARCH || !request_text_valid(search)))
		return request_reject_because(r, ERR_VALIDATION, "q", "q must be UTF-8 text of at most %d bytes.", (int)MAX_SEARCH);
	users_list(r->app->pool, r->query, search, page->size, page_offset(page));
	return FLOW_WAIT;
}

static int64_t put_row(struct json_writer *w, const struct query *q, size_t i)
{
	struct user_row user = users_row(q, i);

	put_user(w, &user);
	return user.total;
}

static enum flow_next list_finish(struct request *r)
{
	return page_reply_rows(r, put_row);
}

const struct step admin_users_list_steps[] = {{"list_users", list_start, list_finish}, {NULL, NULL, NULL}};

static enum flow_next ask_start(struct request *r)
{
	enum flow_next next;

	if (!uuid_valid(r->path_params[0]))
		return request_reject(r, ERR_USER_NOT_FOUND);
	next = cached_user_ask(r, r->path_params[0]);
	return next == FLOW_NEXT ? cached_user_reply(r) : next;
}

static enum flow_next get_start(struct request *r)
{
	users_get(r->app->pool, r->query, r->path_params[0]);
	return FLOW_WAIT;
}

static enum flow_next user_finish(struct request *r)
{
	return r->query->op.err ? refuse_user_conflict(r) : reply_user(r, false);
}

const struct step admin_users_get_steps[] = {
	{"ask_cache", ask_start, cached_user_reply},
	{"get_user", get_start, user_finish},
	{NULL, NULL, NULL},
};

/* ---- create ---- */

struct creation {
	struct uuid id;
	struct str username, email, password, role;
};

static enum flow_next hash_start(struct request *r)
{
	struct creation *made = arena_alloc(&r->arena, sizeof(*made));
	struct json_complaint complaint = {0};

	r->state = made;
	made->role = STR("user");
	if (!read_new_account(r->body, &made->username, &made->email, &made->password, &complaint) ||
	    !json_read_str(r->body, "role", false, 1, 16, &made->role, &complaint) || !check_role(made->role, &complaint))
		return request_reject_field(r, &complaint);
	password_hash_start(r->app->auth->passwords, request_password_job(r), made->password);
	return FLOW_WAIT;
}

static enum flow_next hash_finish(struct request *r)
{
	return r->password->op.err ? request_reject(r, r->password->op.err) : FLOW_NEXT;
}

static enum flow_next add_start(struct request *r)
{
	struct creation *made = r->state;
	struct audit_who who = access_who(r);
	struct new_user user;

	made->id = uuid_new();
	user = (struct new_user){
		.id = uuid_str(&made->id),
		.username = made->username,
		.email = made->email,
		.password_hash = str_from(r->password->hash),
		.role = made->role,
		.audit_type = "user.created",
	};
	users_add(r->app->pool, r->query, &who, &user);
	return FLOW_WAIT;
}

static enum flow_next add_finish(struct request *r)
{
	return r->query->op.err ? refuse_user_conflict(r) : reply_user(r, true);
}

const struct step admin_users_create_steps[] = {
	{"parse_body", body_start, NULL},
	{"hash_password", hash_start, hash_finish},
	{"add_user", add_start, add_finish},
	{NULL, NULL, NULL},
};

/* ---- update ---- */

/* What is given; the texts are the body's. */
struct update {
	struct user_patch patch;
	struct str username, email, role;
	bool is_active;
};

static bool read_update(const struct json *body, struct update *u, struct json_complaint *c)
{
	bool email_given;

	if (json_get(body, "username")) {
		const char *problem;

		if (!json_read_str(body, "username", true, 0, USERNAME_MAX_CHARS, &u->username, c))
			return false;
		problem = username_problem(u->username);
		if (problem)
			return json_complain(c, "username", "%s", problem);
		u->patch.username = &u->username;
	}
	if (!read_email(body, &u->email, &email_given, c))
		return false;
	if (email_given)
		u->patch.email = &u->email;
	if (json_get(body, "role")) {
		if (!json_read_str(body, "role", true, 1, 16, &u->role, c) || !check_role(u->role, c))
			return false;
		u->patch.role = &u->role;
	}
	if (json_get(body, "isActive")) {
		if (!json_read_bool(body, "isActive", &u->is_active, c))
			return false;
		u->patch.is_active = &u->is_active;
	}
	if (!u->patch.username && !u->patch.email && !u->patch.role && !u->patch.is_active)
		return json_complain(c, "username", "One of username, email, role and isActive must be there.");
	return true;
}

static enum flow_next update_start(struct request *r)
{
	struct update *u = arena_alloc(&r->arena, sizeof(*u));
	struct json_complaint complaint = {0};
	struct audit_who who = access_who(r);

	if (!uuid_valid(r->path_params[0]))
		return request_reject(r, ERR_USER_NOT_FOUND);
	if (!read_update(r->body, u, &complaint))
		return request_reject_field(r, &complaint);
	users_update(r->app->pool, r->query, &who, r->path_params[0], &u->patch);
	return FLOW_WAIT;
}

static enum flow_next update_finish(struct request *r)
{
	cached_doubt(r);
	if (r->query->op.err)
		return refuse_user_conflict(r);
	if (query_n_rows(r->query) > 0 && users_update_refused(r->query))
		return request_reject_because(r, ERR_CONFLICT, NULL, "This is the last active administrator; make another one first.");
	people_forget(r->app->auth->people, STR("user"), r->path_params[0]);
	return FLOW_NEXT;
}

static enum flow_next drop_start(struct request *r)
{
	return cached_user_drop(r, r->path_params[0]);
}

static enum flow_next show_start(struct request *r)
{
	return reply_user(r, false);
}

const struct step admin_users_update_steps[] = {
	{"parse_body", body_start, NULL},
	{"update_user", update_start, update_finish},
	{"drop_copies", drop_start, cached_dropped},
	{"show_user", show_start, NULL},
	{NULL, NULL, NULL},
};

/* ---- reset-password ---- */

static enum flow_next new_password_start(struct request *r)
{
	struct json_complaint complaint = {0};
	struct str password;

	if (!uuid_valid(r->path_params[0]))
		return request_reject(r, ERR_USER_NOT_FOUND);
	if (!read_password(r->body, "newPassword", &password, &complaint))
		return request_reject_field(r, &complaint);
	password_hash_start(r->app->auth->passwords, request_password_job(r), password);
	return FLOW_WAIT;
}

static enum flow_next store_start(struct request *r)
{
	struct audit_who who = access_who(r);

	users_set_password(r->app->pool, r->query, &who, r->path_params[0], str_from(r->password->hash), STR(""), NULL,
			   "user.password_reset");
	return FLOW_WAIT;
}

static enum flow_next store_finish(struct request *r)
{
	people_forget(r->app->auth->people, STR("user"), r->path_params[0]);
	return user_finish(r);
}

const struct step admin_users_reset_password_steps[] = {
	{"parse_body", body_start, NULL},
	{"hash_password", new_password_start, hash_finish},
	{"store_password", store_start, store_finish},
	{NULL, NULL, NULL},
};

/* ---- revoke ---- */

static enum flow_next revoke_start(struct request *r)
{
	struct audit_who who = access_who(r);

	if (!uuid_valid(r->path_params[0]))
		return request_reject(r, ERR_USER_NOT_FOUND);
	users_revoke(r->app->pool, r->query, &who, r->path_params[0]);
	return FLOW_WAIT;
}

static enum flow_next revoke_finish(struct request *r)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	int64_t n_logins, n_keys;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_USER_NOT_FOUND);
	people_forget(r->app->auth->people, STR("user"), r->path_params[0]);
	users_revoked(r->query, &n_logins, &n_keys);
	json_open(&w, '{');
	json_add_int(&w, "logins", n_logins);
	json_add_int(&w, "keys", n_keys);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step admin_users_revoke_steps[] = {{"revoke_user", revoke_start, revoke_finish}, {NULL, NULL, NULL}};
