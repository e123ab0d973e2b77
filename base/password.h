/* Passwords: argon2id on the worker's thread, never on the loop. A name that nobody has takes as long to refuse as a wrong password. */
#pragma once
#include "base/crypto.h"
#include "base/worker.h"

enum { PASSWORD_MAX_BYTES = 1024 };

struct passwords;

/* cost: CRYPTO_COST, or the least for tests. Makes one hash right here (0.1 s at CRYPTO_COST), so it belongs to start-up.
 * worker is borrowed until passwords_free. */
struct passwords *passwords_new(struct worker *worker, struct crypto_cost cost);
/* Nobody may wait any more (cancel first); not from inside a done. free(NULL) is fine. */
void passwords_free(struct passwords *p);

/* One waiter; storage belongs to the caller, all zero before its first use; it may be freed after op_cancel. */
struct password_job {
	struct op op;
	char hash[CRYPTO_PASSWORD_HASH_SIZE]; /* of password_hash_start; valid in done if err is 0 */
	bool outdated; /* of password_verify_start: it matches, but was made at another cost; hash the password anew and store that */
	/* password.c's own: */
	struct worker_job work;
};

/* Both copy the password before they return, and wipe the copy as soon as it has been used, also after op_cancel. The caller wipes
 * its own. Set job->op.done first; op.deadline_us 0 means WORKER_PATIENCE_US. A job that is let go while it runs keeps the thread
 * to its end. How long a password must be at least is for others to check. op.err of both:
 *   -ERR_OVERLOADED   too many wait already, the deadline has passed, or there is no memory for it
 *   -ERR_VALIDATION   the password is longer than PASSWORD_MAX_BYTES */

/* Hashes with a new salt: the text to store is in job->hash. */
void password_hash_start(struct passwords *p, struct password_job *job, struct str password);
/* Compares with a stored hash; NULL: there is no such user. What cannot be read as a hash is treated, and takes as long, as if there
 * were none. (A hash of another cost takes its own time, until it is replaced: see outdated.)
 * op.err: 0 if it matches, -ERR_INVALID_CREDENTIALS if not, or one of the above: then nobody knows, and it must not count as a
 * failed login. */
void password_verify_start(struct passwords *p, struct password_job *job, struct str password, const char *hash);
