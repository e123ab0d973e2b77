/* Counts for the siblings. */
#include "handlers/host.h"

#include "base/process.h"
#include "db/pool.h"
#include "fcgi/server.h"
#include "handlers/app.h"

void host_publish(void *arg)
{
	const struct app *app = arg;
	struct pool_stats db = pool_stats(app->pool);

	process_set(app->process, COUNT_DRAINING, app->draining);
	process_set(app->process, COUNT_CONNECTIONS, app->server->n_conns);
	process_set(app->process, COUNT_REQUESTS, app->n_requests);
	process_set(app->process, COUNT_DB_ACTIVE, db.active);
	process_set(app->process, COUNT_DB_IDLE, db.idle);
	process_set(app->process, COUNT_DB_WAITING, db.waiting);
	process_set(app->process, COUNT_DB_MAX, db.max);
}
