/* Login: look → check the password on its thread → settle. What is decided about a login is decided by the last statement. */
#include "handlers/login.h"

#include "auth/auth.h"
#include "auth/people.h"
#include "base/account_rules.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/jwt.h"
#include "base/secret.h"
#include "db/users.h"
#include "handlers/access.h"
#include "handlers/accounts_json.h"
#include "handlers/body.h"
#include "handlers/cached.h"
#include "handlers/request.h"

enum { MAX_USER_AGENT = 200 };

/* A login that is wanted; all texts in the request's arena. */
struct login {
	struct login_attempt attempt;
	struct str password;
	struct str user_id, username, email, role, hash; /* empty if there is no such user */
	int64_t password_changes;
	bool is_active, wrong;
	struct str new_hash;
	struct uuid login_id;
	char refresh_token[SECRET_SIZE], refresh_hash[SECRET_HASH_SIZE];
	uint64_t era; /* of the people, before it was settled */
};

static struct str user_agent(struct request *r)
{
	struct str text = request_param(r, "HTTP_USER_AGENT");

	if (!utf8_valid(text))
		return STR("");
	return arena_copy(&r->arena, (struct str){text.p, utf8_prefix(text, MAX_USER_AGENT)});
}

static struct login *login_new(struct request *r)
{
	struct login *login = arena_alloc(&r->arena, sizeof(*login));

	login->attempt = (struct login_attempt){
		.address = request_address(r),
		.user_agent = user_agent(r),
		.request_id = str_from(r->request_id),
		.limits = &r->app->auth->limits,
	};
	r->state = login;
	return login;
}

/* The answer of whoever got in: both tokens and the user. */
static enum flow_next reply_tokens(struct request *r, struct login *login, bool created)
{
	const struct conf *conf = r->app->conf;
	int64_t now_s = (int64_t)(clock_real_us() / 1000000);
	struct jwt_claims claims = {
		.user_id = uuid_from(login->user_id),
		.session_id = login->login_id,
		.token_id = uuid_new(),
		.issued_at_s = now_s,
		.expires_at_s = now_s + conf->access_token_ttl_s,
	};
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	char token[JWT_SIZE];

	jwt_issue(str_from(conf->token_secret), &claims, token);
	json_open(&w, '{');
	json_add_cstr(&w, "token", token);
	json_add_cstr(&w, "refreshToken", login->refresh_token);
	json_add_int(&w, "expiresIn", conf->access_token_ttl_s);
	json_key(&w, "user");
	put_user_brief(&w, login->user_id, login->username, login->email, login->role);
	json_close(&w, '}');
	crypto_wipe(login->refresh_token, sizeof(login->refresh_token));
	if (created)
		request_reply_created(r, buf_str(&b));
	else
		request_reply(r, buf_str(&b), STR(""));
	crypto_wipe(token, sizeof(token));
	crypto_wipe(b.p, b.len);
	buf_fini(&b);
	return FLOW_DONE;
}

static void make_refresh_token(struct login *login)
{
	secret_make(SECRET_REFRESH_TOKEN, login->refresh_token);
	secret_hash(str_from(login->refresh_token), login->refresh_hash);
}

/* The first request with the new token asks nobody. */
static void remember(struct request *r, const struct login *login)
{
	struct person facts = {
		.by = PERSON_BY_LOGIN,
		.user_id = uuid_from(login->user_id),
		.credential_id = login->login_id,
		.is_admin = str_eq(login->role, STR("admin")),
		.username = login->username,
	};

	person_unref(people_add(r->app->auth->people, login->era, uuid_str(&login->login_id), &facts, 0));
}

/* ---- login ---- */

static enum flow_next look_start(struct request *r)
{
	struct json_complaint complaint = {0};
	struct login *login = login_new(r);

	if (!json_read_str(r->body, "username", true, 1, USERNAME_MAX_CHARS, &login->attempt.username, &complaint) ||
	    !json_read_str(r->body, "password", true, 1, PASSWORD_MAX_BYTES, &login->password, &complaint))
		return request_reject_field(r, &complaint);
	logins_look(r->app->pool, r->query, &login->attempt);
	return FLOW_WAIT;
}

static enum flow_next look_finish(struct request *r)
{
	struct login *login = r->state;
	struct login_look found;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	found = logins_looked(r->query);
	if (found.address_barred_s)
		return request_reject_later(r, ERR_RATE_LIMITED, (int)found.address_barred_s);
	if (found.name_barred_s)
		return request_reject_later(r, ERR_ACCOUNT_LOCKED, (int)found.name_barred_s);
	login->user_id = arena_copy(&r->arena, found.user_id);
	login->username = arena_copy(&r->arena, found.username);
	login->email = arena_copy(&r->arena, found.email);
	login->role = arena_copy(&r->arena, found.role);
	login->hash = arena_copy(&r->arena, found.password_hash);
	login->is_active = found.is_active;
	login->password_changes = found.password_changes;
	query_fini(r->query);
	return FLOW_NEXT;
}

static enum flow_next check_start(struct request *r)
{
	const struct login *login = r->state;

	password_verify_start(r->app->auth->passwords, request_password_job(r), login->password, login->hash.len ? login->hash.p : NULL);
	return FLOW_WAIT;
}

static enum flow_next check_finish(struct request *r)
{
	struct login *login = r->state;
	int err = r->password->op.err;

	login->wrong = err == -ERR_INVALID_CREDENTIALS;
	if (err == -ERR_VALIDATION)
		return request_reject_because(r, err, "password", "password may have at most %d bytes.", (int)PASSWORD_MAX_BYTES);
	if (err && !login->wrong)
		return request_reject(r, err);
	if (!err && !login->is_active)
		return request_reject_because(r, ERR_FORBIDDEN, NULL, "This account is not active any more; please ask an administrator.");
	return FLOW_NEXT;
}

static enum flow_next renew_start(struct request *r)
{
	const struct login *login = r->state;

	if (login->wrong || !r->password->outdated)
		return FLOW_NEXT;
	password_hash_start(r->app->auth->passwords, request_password_job(r), login->password);
	return FLOW_WAIT;
}

/* Without a new hash the old one goes on doing. */
static enum flow_next renew_finish(struct request *r)
{
	struct login *login = r->state;

	if (r->password->op.err == 0)
		login->new_hash = str_from(r->password->hash);
	return FLOW_NEXT;
}

static void open_login(struct request *r, struct login *login)
{
	struct new_login made;

	login->login_id = uuid_new();
	make_refresh_token(login);
	login->era = people_era(r->app->auth->people);
	made = (struct new_login){
		.id = uuid_str(&login->login_id),
		.user_id = login->user_id,
		.username = login->username,
		.refresh_hash = str_from(login->refresh_hash),
		.ttl_s = r->app->conf->refresh_token_ttl_s,
		.password_changes = login->password_changes,
		.password_hash = login->new_hash,
	};
	logins_open(r->app->pool, r->query, &login->attempt, &made);
}

static enum flow_next settle_start(struct request *r)
{
	struct login *login = r->state;

	if (login->wrong)
		logins_fail(r->app->pool, r->query, &login->attempt, login->user_id);
	else
		open_login(r, login);
	return FLOW_WAIT;
}

enum flow_next refuse_login(struct request *r, enum login_verdict verdict)
{
	const struct login_limits *limits = &r->app->auth->limits;

	if (verdict == LOGIN_NAME_BARRED)
		return request_reject_later(r, ERR_ACCOUNT_LOCKED, (int)limits->lockout_s);
	if (verdict == LOGIN_ADDRESS_BARRED)
		return request_reject_later(r, ERR_RATE_LIMITED, (int)limits->address_window_s);
	return request_reject(r, ERR_INVALID_CREDENTIALS);
}

static enum flow_next settle_finish(struct request *r)
{
	struct login *login = r->state;
	enum login_verdict verdict;

	cached_doubt(r);
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	verdict = login->wrong ? logins_failed(r->query) : logins_opened(r->query);
	if (login->wrong || verdict != LOGIN_FINE)
		return refuse_login(r, verdict);
	remember(r, login);
	return FLOW_NEXT;
}

/* His last login is another one now. */
static enum flow_next drop_start(struct request *r)
{
	const struct login *login = r->state;

	return cached_user_drop(r, login->user_id);
}

static enum flow_next tokens_start(struct request *r)
{
	return reply_tokens(r, r->state, false);
}

const struct step login_steps[] = {
	{"parse_body", body_start, NULL},
	{"look_up_name", look_start, look_finish},
	{"check_password", check_start, check_finish},
	{"renew_hash", renew_start, renew_finish},
	{"settle_login", settle_start, settle_finish},
	{"drop_copies", drop_start, cached_dropped},
	{"issue_tokens", tokens_start, NULL},
	{NULL, NULL, NULL},
};

/* ---- registration: make the user, then open a login as above ---- */

static enum flow_next registration_start(struct request *r)
{
	struct json_complaint complaint = {0};
	struct login *login = login_new(r);

	if (!r->app->conf->allow_registration)
		return request_reject_because(r, ERR_FORBIDDEN, NULL, "Accounts are made by an administrator here.");
	if (!read_new_account(r->body, &login->username, &login->email, &login->password, &complaint))
		return request_reject_field(r, &complaint);
	login->attempt.username = login->username;
	login->role = STR("user");
	password_hash_start(r->app->auth->passwords, request_password_job(r), login->password);
	return FLOW_WAIT;
}

static enum flow_next registration_finish(struct request *r)
{
	return r->password->op.err ? request_reject(r, r->password->op.err) : FLOW_NEXT;
}

static enum flow_next add_start(struct request *r)
{
	struct login *login = r->state;
	struct audit_who who = access_who(r);
	struct uuid id = uuid_new();
	struct new_user user;

	login->user_id = arena_copy(&r->arena, uuid_str(&id));
	who.actor = login->username;
	who.actor_id = login->user_id;
	user = (struct new_user){
		.id = login->user_id,
		.username = login->username,
		.email = login->email,
		.password_hash = str_from(r->password->hash),
		.role = login->role,
		.audit_type = "user.registered",
	};
	users_add(r->app->pool, r->query, &who, &user);
	return FLOW_WAIT;
}

static enum flow_next add_finish(struct request *r)
{
	if (r->query->op.err)
		return refuse_user_conflict(r);
	query_fini(r->query);
	return FLOW_NEXT;
}

/* Whoever has just made up a password need not guess it: what failed before, under this name or from this address, bars him from nothing. */
static enum flow_next first_login_start(struct request *r)
{
	static const struct login_limits no_limits = {.max_failures = INT32_MAX, .address_max = INT32_MAX};
	struct login *login = r->state;

	login->attempt.limits = &no_limits;
	open_login(r, login);
	return FLOW_WAIT;
}

static enum flow_next first_login_finish(struct request *r)
{
	struct login *login = r->state;
	enum login_verdict verdict;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	verdict = logins_opened(r->query);
	if (verdict != LOGIN_FINE)
		return refuse_login(r, verdict);
	remember(r, login);
	return reply_tokens(r, login, true);
}

const struct step register_steps[] = {
	{"parse_body", body_start, NULL},
	{"hash_password", registration_start, registration_finish},
	{"add_user", add_start, add_finish},
	{"open_login", first_login_start, first_login_finish},
	{NULL, NULL, NULL},
};

/* ---- refresh ---- */

static enum flow_next refresh_start(struct request *r)
{
	struct json_complaint complaint = {0};
	struct login *login = login_new(r);
	char hash[SECRET_HASH_SIZE];
	struct str token;

	if (!json_read_str(r->body, "refreshToken", true, 1, 4096, &token, &complaint))
		return request_reject_field(r, &complaint);
	if (!secret_valid(SECRET_REFRESH_TOKEN, token))
		return request_reject(r, ERR_TOKEN_INVALID);
	secret_hash(token, hash);
	make_refresh_token(login);
	login->era = people_era(r->app->auth->people);
	logins_refresh(r->app->pool, r->query, arena_copy(&r->arena, str_from(hash)), str_from(login->refresh_hash),
		       r->app->conf->refresh_token_ttl_s, login->attempt.address, login->attempt.request_id);
	return FLOW_WAIT;
}

static enum flow_next refresh_finish(struct request *r)
{
	struct login *login = r->state;
	struct login_refreshed found;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_TOKEN_INVALID);
	found = logins_refreshed(r->query);
	if (found.state == REFRESH_REUSED)
		log_warn(&r->log, "refresh_token_reused", "login", found.login_id);
	if (found.state != REFRESH_FINE)
		return request_reject(r, ERR_TOKEN_INVALID);
	login->login_id = uuid_from(found.login_id);
	login->user_id = found.user_id;
	login->username = found.username;
	login->email = found.email;
	login->role = found.role;
	remember(r, login);
	return reply_tokens(r, login, false);
}

const struct step refresh_steps[] = {
	{"parse_body", body_start, NULL},
	{"refresh_login", refresh_start, refresh_finish},
	{NULL, NULL, NULL},
};

/* ---- logout, verify ---- */

static enum flow_next logout_start(struct request *r)
{
	struct audit_who who = access_who(r);

	logins_end(r->app->pool, r->query, &who, uuid_str(&r->person->credential_id));
	return FLOW_WAIT;
}

static enum flow_next logout_finish(struct request *r)
{
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	/* The other responders hear of it within a second. */
	people_forget(r->app->auth->people, STR("login"), uuid_str(&r->person->credential_id));
	return request_reply(r, STR("null"), STR(""));
}

const struct step logout_steps[] = {{"end_login", logout_start, logout_finish}, {NULL, NULL, NULL}};

static enum flow_next verify_start(struct request *r)
{
	const struct person *person = r->person;
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_add_bool(&w, "valid", true);
	json_key(&w, "user");
	json_open(&w, '{');
	json_add_str(&w, "id", uuid_str(&person->user_id));
	json_add_str(&w, "username", person->username);
	json_add_cstr(&w, "role", person->is_admin ? "admin" : "user");
	json_close(&w, '}');
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step verify_steps[] = {{"verify", verify_start, NULL}, {NULL, NULL, NULL}};

/* ---- options: what a page asks before it knows anybody ---- */

static enum flow_next options_start(struct request *r)
{
	const struct conf *conf = r->app->conf;
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_add_bool(&w, "anonymous", conf->chat_anonymous);
	json_add_bool(&w, "registration", conf->allow_registration);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step auth_options_steps[] = {{"options", options_start, NULL}, {NULL, NULL, NULL}};
