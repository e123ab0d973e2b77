/* What people change of themselves. A wrong current password counts like a failed login: a stolen token is no way to try passwords. */
#include "handlers/account.h"

#include "auth/auth.h"
#include "auth/people.h"
#include "db/users.h"
#include "handlers/access.h"
#include "handlers/accounts_json.h"
#include "handlers/body.h"
#include "handlers/cached.h"
#include "handlers/login.h"
#include "handlers/request.h"

/* ---- profile ---- */

static enum flow_next ask_start(struct request *r)
{
	enum flow_next next = cached_user_ask(r, uuid_str(&r->user_id));

	return next == FLOW_NEXT ? cached_user_reply(r) : next;
}

static enum flow_next profile_start(struct request *r)
{
	users_get(r->app->pool, r->query, uuid_str(&r->user_id));
	return FLOW_WAIT;
}

static enum flow_next profile_finish(struct request *r)
{
	return r->query->op.err ? refuse_user_conflict(r) : reply_user(r, false);
}

const struct step profile_steps[] = {
	{"ask_cache", ask_start, cached_user_reply},
	{"load_profile", profile_start, profile_finish},
	{NULL, NULL, NULL},
};

static enum flow_next update_start(struct request *r)
{
	struct json_complaint complaint = {0};
	struct audit_who who = access_who(r);
	struct user_patch patch = {.email = NULL};
	struct str email;
	bool given;

	if (!read_email(r->body, &email, &given, &complaint))
		return request_reject_field(r, &complaint);
	if (!given)
		return request_reject_because(r, ERR_VALIDATION, "email", "email is what can be changed here; it is missing.");
	patch.email = &email;
	users_update(r->app->pool, r->query, &who, uuid_str(&r->user_id), &patch);
	return FLOW_WAIT;
}

static enum flow_next update_finish(struct request *r)
{
	cached_doubt(r);
	return r->query->op.err ? refuse_user_conflict(r) : FLOW_NEXT;
}

static enum flow_next drop_start(struct request *r)
{
	return cached_user_drop(r, uuid_str(&r->user_id));
}

static enum flow_next show_start(struct request *r)
{
	return reply_user(r, false);
}

const struct step profile_update_steps[] = {
	{"parse_body", body_start, NULL},
	{"update_profile", update_start, update_finish},
	{"drop_copies", drop_start, cached_dropped},
	{"show_profile", show_start, NULL},
	{NULL, NULL, NULL},
};

/* ---- change-password ---- */

struct change {
	struct login_attempt attempt;
	struct str current, wanted, hash;
	int64_t password_changes;
	bool wrong;
};

static enum flow_next look_start(struct request *r)
{
	struct change *change = arena_alloc(&r->arena, sizeof(*change));
	struct json_complaint complaint = {0};

	r->state = change;
	if (!json_read_str(r->body, "currentPassword", true, 1, PASSWORD_MAX_BYTES, &change->current, &complaint) ||
	    !read_password(r->body, "newPassword", &change->wanted, &complaint))
		return request_reject_field(r, &complaint);
	change->attempt = (struct login_attempt){
		.username = r->person->username,
		.address = request_address(r),
		.request_id = str_from(r->request_id),
		.limits = &r->app->auth->limits,
	};
	logins_look(r->app->pool, r->query, &change->attempt);
	return FLOW_WAIT;
}

static enum flow_next look_finish(struct request *r)
{
	struct change *change = r->state;
	struct login_look found;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	found = logins_looked(r->query);
	if (found.name_barred_s || found.address_barred_s)
		return request_reject_later(r, found.name_barred_s ? ERR_ACCOUNT_LOCKED : ERR_RATE_LIMITED,
					    (int)(found.name_barred_s ? found.name_barred_s : found.address_barred_s));
	change->hash = arena_copy(&r->arena, found.password_hash);
	change->password_changes = found.password_changes;
	query_fini(r->query);
	return FLOW_NEXT;
}

static enum flow_next check_start(struct request *r)
{
	const struct change *change = r->state;

	password_verify_start(r->app->auth->passwords, request_password_job(r), change->current, change->hash.len ? change->hash.p : NULL);
	return FLOW_WAIT;
}

static enum flow_next check_finish(struct request *r)
{
	struct change *change = r->state;
	int err = r->password->op.err;

	change->wrong = err == -ERR_INVALID_CREDENTIALS;
	return err && !change->wrong ? request_reject(r, err) : FLOW_NEXT;
}

static enum flow_next count_start(struct request *r)
{
	struct change *change = r->state;

	if (!change->wrong)
		return FLOW_NEXT;
	logins_fail(r->app->pool, r->query, &change->attempt, uuid_str(&r->user_id));
	return FLOW_WAIT;
}

static enum flow_next count_finish(struct request *r)
{
	enum login_verdict verdict;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	verdict = logins_failed(r->query);
	if (verdict != LOGIN_FINE)
		return refuse_login(r, verdict);
	return request_reject_because(r, ERR_INVALID_CREDENTIALS, "currentPassword", "currentPassword is wrong.");
}

static enum flow_next hash_start(struct request *r)
{
	const struct change *change = r->state;

	password_hash_start(r->app->auth->passwords, request_password_job(r), change->wanted);
	return FLOW_WAIT;
}

static enum flow_next hash_finish(struct request *r)
{
	return r->password->op.err ? request_reject(r, r->password->op.err) : FLOW_NEXT;
}

static enum flow_next store_start(struct request *r)
{
	const struct change *change = r->state;
	struct audit_who who = access_who(r);
	struct password_proof proof = {change->password_changes, r->app->auth->limits.max_failures};

	users_set_password(r->app->pool, r->query, &who, uuid_str(&r->user_id), str_from(r->password->hash),
			   uuid_str(&r->person->credential_id), &proof, "user.password_changed");
	return FLOW_WAIT;
}

/* No row: it was changed, or too many guesses have failed, since the current one was compared. That is counted and answered like a
 * wrong one, or of many guesses the right one would be known by its answer. */
static enum flow_next store_finish(struct request *r)
{
	struct change *change = r->state;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	change->wrong = query_n_rows(r->query) == 0;
	if (!change->wrong)
		return reply_user(r, false);
	query_fini(r->query);
	return FLOW_NEXT;
}

const struct step change_password_steps[] = {
	{"parse_body", body_start, NULL},
	{"look_up_name", look_start, look_finish},
	{"check_password", check_start, check_finish},
	{"count_failure", count_start, count_finish},
	{"hash_password", hash_start, hash_finish},
	{"store_password", store_start, store_finish},
	{"count_failure", count_start, count_finish},
	{NULL, NULL, NULL},
};
