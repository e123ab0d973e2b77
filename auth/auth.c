/* Making and freeing the parts. */
#include "auth/auth.h"

#include "auth/first_admin.h"
#include "auth/people.h"
#include "base/conf.h"
#include "db/credentials.h"

/* Hashes that may wait, one of which takes about 0.1 s: who comes after them would wait for half a minute. */
enum { MAX_WAITING = 256 };

void auth_init(struct auth *auth, struct loop *loop, struct pool *pool, const struct conf *conf)
{
	auth->limits = (struct login_limits){
		.max_failures = conf->login_max_failures,
		.lockout_s = conf->login_lockout_s,
		.address_max = conf->login_rate_max,
		.address_window_s = conf->login_rate_window_s,
	};
	auth->people = people_new();
	auth->credentials = credentials_new(loop, pool, conf);
	auth->worker = worker_new(loop, MAX_WAITING);
	auth->passwords = passwords_new(auth->worker, CRYPTO_COST);
	if (*conf->admin_username)
		auth->first_admin = first_admin_new(loop, pool, auth->passwords, conf);
}

void auth_fini(struct auth *auth)
{
	first_admin_free(auth->first_admin);
	passwords_free(auth->passwords);
	worker_free(auth->worker);
	credentials_free(auth->credentials);
	people_free(auth->people);
	*auth = (struct auth){.people = NULL};
}
