/* Is there an administrator? If not: hash the password, then insert unless there is one meanwhile. All responders try, one succeeds. */
#include "auth/first_admin.h"

#include <stdlib.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/password.h"
#include "base/uuid.h"
#include "db/users.h"

enum { RETRY_MS = 2000 };

struct first_admin {
	struct pool *pool;
	struct passwords *passwords;
	const struct conf *conf;
	struct timer timer;
	struct query query;
	struct password_job job;
	struct uuid id;
	bool refused; /* the name was taken when it was tried before */
};

static void again_later(struct first_admin *f)
{
	query_fini(&f->query);
	timer_start(&f->timer, RETRY_MS);
}

static void on_added(struct op *op)
{
	struct first_admin *f = CONTAINER_OF(op, struct first_admin, query.op);

	if (op->err == -ERR_CONFLICT && f->refused) {
		log_error(NULL, "first_admin_refused", "reason", "ADMIN_USERNAME is taken by somebody who is no administrator");
	} else if (op->err) {
		f->refused = op->err == -ERR_CONFLICT; /* another responder may have been quicker: then there is one now */
		again_later(f);
		return;
	} else if (query_n_rows(&f->query) > 0) {
		log_info(NULL, "first_admin_made", "user", f->id.text);
	}
	query_fini(&f->query);
}

static void on_hashed(struct op *op)
{
	struct first_admin *f = CONTAINER_OF(op, struct first_admin, job.op);
	struct audit_who who = {.actor = STR("ADMIN_USERNAME"), .address = STR("local")};
	struct new_user admin = {
		.id = uuid_str(&f->id),
		.username = str_from(f->conf->admin_username),
		.password_hash = str_from(f->job.hash),
		.role = STR("admin"),
		.audit_type = "user.created",
	};

	if (op->err) {
		timer_start(&f->timer, RETRY_MS);
		return;
	}
	f->query.op.done = on_added;
	users_add_first_admin(f->pool, &f->query, &who, &admin);
}

static void on_asked(struct op *op)
{
	struct first_admin *f = CONTAINER_OF(op, struct first_admin, query.op);
	bool needed = op->err == 0 && !query_col_bool(&f->query, 0, 0);

	if (op->err) {
		again_later(f);
		return;
	}
	query_fini(&f->query);
	if (needed) {
		f->job.op.done = on_hashed;
		password_hash_start(f->passwords, &f->job, str_from(f->conf->admin_password));
	}
}

static void ask(void *arg)
{
	struct first_admin *f = arg;

	f->query.op.done = on_asked;
	users_have_admin(f->pool, &f->query);
}

struct first_admin *first_admin_new(struct loop *loop, struct pool *pool, struct passwords *passwords, const struct conf *conf)
{
	struct first_admin *f = mem_alloc(sizeof(*f));

	f->pool = pool;
	f->passwords = passwords;
	f->conf = conf;
	f->id = uuid_new();
	query_init(&f->query);
	timer_init(&f->timer, loop, ask, f);
	timer_start(&f->timer, 0);
	return f;
}

void first_admin_free(struct first_admin *f)
{
	if (!f)
		return;
	query_fini(&f->query);
	op_cancel(&f->job.op);
	timer_fini(&f->timer);
	free(f);
}
