/* Hashing and checking passwords as jobs of the worker. */
#include "base/password.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"

struct passwords {
	struct worker *worker; /* borrowed */
	struct crypto_cost cost;
	char nobodys[CRYPTO_PASSWORD_HASH_SIZE]; /* of a password that nobody knows, for names that nobody has */
};

/* What the thread works on. */
struct attempt {
	struct crypto_cost cost;
	char hash[CRYPTO_PASSWORD_HASH_SIZE]; /* made, or compared with */
	bool nobody;
	bool outdated;
	int err;
	size_t len;
	char password[PASSWORD_MAX_BYTES];
};

struct passwords *passwords_new(struct worker *worker, struct crypto_cost cost)
{
	struct passwords *p = mem_alloc(sizeof(*p));
	char password[32];

	p->worker = worker;
	p->cost = cost;
	crypto_random(password, sizeof(password));
	if (crypto_password_hash((struct str){password, sizeof(password)}, cost, p->nobodys) != 0)
		mem_exhausted(cost.memory_bytes);
	crypto_wipe(password, sizeof(password));
	return p;
}

void passwords_free(struct passwords *p)
{
	free(p);
}

static void wipe_password(struct attempt *a)
{
	crypto_wipe(a->password, a->len);
	a->len = 0;
}

static void free_attempt(void *data)
{
	struct attempt *a = data;

	wipe_password(a); /* of one that never ran */
	free(a);
}

/* On the thread, as is what follows. */
static void make_hash(void *data)
{
	struct attempt *a = data;

	if (a->err == 0 && crypto_password_hash((struct str){a->password, a->len}, a->cost, a->hash) != 0)
		a->err = -ERR_OVERLOADED;
	wipe_password(a);
}

static void compare(void *data)
{
	struct attempt *a = data;

	if (a->err == 0) {
		int result = crypto_password_verify((struct str){a->password, a->len}, a->hash);

		if (result < 0)
			a->err = -ERR_OVERLOADED;
		else if (result == 0 || a->nobody)
			a->err = -ERR_INVALID_CREDENTIALS;
	}
	wipe_password(a);
}

static void on_hashed(struct op *op)
{
	struct password_job *job = CONTAINER_OF(op, struct password_job, work.op);
	const struct attempt *a = job->work.data; /* NULL if it was refused */

	if (a && a->err == 0)
		memcpy(job->hash, a->hash, sizeof(job->hash));
	op_finish(&job->op, a ? a->err : op->err);
}

static void on_compared(struct op *op)
{
	struct password_job *job = CONTAINER_OF(op, struct password_job, work.op);
	const struct attempt *a = job->work.data;

	job->outdated = a && a->err == 0 && a->outdated;
	op_finish(&job->op, a ? a->err : op->err);
}

static void cancel(struct op *op)
{
	op_cancel(&CONTAINER_OF(op, struct password_job, op)->work.op);
}

/* A password that is too long is told of in its turn, like any other, by an attempt that does nothing. */
static struct attempt *new_attempt(const struct passwords *p, struct str password)
{
	struct attempt *a = mem_alloc(sizeof(*a));

	a->cost = p->cost;
	if (password.len > sizeof(a->password)) {
		a->err = -ERR_VALIDATION;
	} else if (password.len) {
		memcpy(a->password, password.p, password.len);
		a->len = password.len;
	}
	return a;
}

static void start(struct passwords *p, struct password_job *job, void (*run)(void *), void (*done)(struct op *), struct attempt *a)
{
	assert(job->op.done && !op_waiting(&job->op));
	job->op.cancel = cancel;
	job->work.op = (struct op){.done = done, .deadline_us = job->op.deadline_us};
	worker_start(p->worker, &job->work, run, a, free_attempt);
}

void password_hash_start(struct passwords *p, struct password_job *job, struct str password)
{
	start(p, job, make_hash, on_hashed, new_attempt(p, password));
}

void password_verify_start(struct passwords *p, struct password_job *job, struct str password, const char *hash)
{
	struct attempt *a = new_attempt(p, password);
	int outdated = hash ? crypto_password_outdated(hash, p->cost) : -1;

	if (hash && outdated < 0)
		log_error(NULL, "password_hash_unreadable");
	a->nobody = outdated < 0;
	a->outdated = outdated > 0;
	snprintf(a->hash, sizeof(a->hash), "%s", a->nobody ? p->nobodys : hash);
	start(p, job, compare, on_compared, a);
}
