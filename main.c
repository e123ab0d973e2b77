/* llmchat-responder: the composition root. Reads the configuration, makes the parts, runs the loop, drains. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "auth/auth.h"
#include "auth/people.h"
#include "base/breaker.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/control.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/siblings.h"
#include "cache/cache.h"
#include "cache/quota.h"
#include "cache/ratelimit.h"
#include "cache/redis.h"
#include "chat/agents.h"
#include "chat/jobs.h"
#include "chat/reservation.h"
#include "chat/turns.h"
#include "config.h"
#include "db/changes.h"
#include "db/pool.h"
#include "fcgi/server.h"
#include "handlers/app.h"
#include "handlers/host.h"
#include "handlers/request.h"
#include "handlers/router.h"
#include "net/ca_file.h"
#include "net/http.h"
#include "net/resolver.h"

enum {
	MAX_BODY_BYTES = 10 * 1024 * 1024, /* nginx's limit too */
	DB_KEPT_ASIDE = 2,                 /* connections for llmchatctl and jobs */
	DRAIN_TICK_MS = 50,
	START_TICK_MS = 5,
	START_PATIENCE_MS = 2000, /* for the database, the agents and Redis, before the first request is taken */
	LAST_WORDS_MS = 3000,     /* to store the endings of turns that the drain interrupted */
};

struct responder {
	struct conf conf;
	struct process process;
	struct siblings *siblings;
	struct control control;
	struct app app;
	struct server server;
	struct turns turns;
	struct auth auth;
	struct changes *changes;
	struct jobs *jobs;
	struct loop *loop;
	struct resolver *resolver;
	struct pool *pool;
	struct quotas *quotas;
	struct http *http;
	struct timer start_tick, drain_tick;
	uint64_t drain_until_us;
};

static void on_request(void *arg, struct fcgi_request *fcgi)
{
	struct responder *me = arg;

	request_begin(&me->app, fcgi);
}

static void on_writable(void *arg, struct fcgi_request *fcgi)
{
	(void)arg;
	request_writable(fcgi->owner);
}

static void on_left(void *arg, struct fcgi_request *fcgi)
{
	(void)arg;
	request_client_left(fcgi->owner);
}

/* Over when no turn and no connection of nginx's is left. Too late: turns are interrupted, and what remains is to store their
 * endings and to tell their readers. */
static void on_drain_tick(void *arg)
{
	struct responder *me = arg;
	bool late = clock_mono_us() > me->drain_until_us;
	size_t n_left = me->app.closing ? server_n_busy(&me->server) : me->server.n_conns;

	if (late && !me->app.closing) {
		log_warn(NULL, "drain_timeout", "turns", me->turns.n_live, "connections", me->server.n_conns);
		me->app.closing = true;
		me->drain_until_us = clock_mono_us() + (uint64_t)LAST_WORDS_MS * 1000;
		turns_interrupt_all(&me->turns);
	} else if (late || (me->turns.n_live == 0 && n_left == 0)) {
		log_info(NULL, "drained", "in_time", (bool)!me->app.closing);
		loop_stop(me->loop);
		return;
	}
	timer_start(&me->drain_tick, DRAIN_TICK_MS);
}

static void on_terminate(void *arg, int signum)
{
	struct responder *me = arg;

	if (me->app.draining)
		return;
	log_info(NULL, "draining", "signal", signum, "turns", me->turns.n_live, "connections", me->server.n_conns);
	me->app.draining = true;
	host_publish(&me->app);
	me->drain_until_us = clock_mono_us() + (uint64_t)me->conf.drain_timeout_ms * 1000;
	server_drain(&me->server);
	jobs_stop(me->jobs);
	pool_shrink(me->pool, 1); /* the next generation wants the others */
	timer_init(&me->drain_tick, me->loop, on_drain_tick, me);
	timer_start(&me->drain_tick, DRAIN_TICK_MS);
}

/* Whoever knocks while we start waits for a moment rather than being refused; if the database is away he is told so. */
static void on_start_tick(void *arg)
{
	struct responder *me = arg;
	bool patient = clock_mono_us() < me->app.began_us + (uint64_t)START_PATIENCE_MS * 1000;

	if (patient && ((!agents_loaded(me->app.agents) && !pool_stats(me->pool).away) || !redis_settled(me->app.redis)))
		timer_start(&me->start_tick, START_TICK_MS);
	else
		server_accept(&me->server);
}

static void on_database_reachable(void *arg)
{
	agents_load_all(arg);
}

static void on_change(void *arg, struct str kind, struct str id)
{
	struct responder *me = arg;

	people_forget(me->auth.people, kind, id);
	if (kind.len == 0 || str_eq(kind, STR("cache")))
		cache_outdate_all(me->app.cache);
	else if (str_eq(kind, STR("user")))
		cache_outdate(me->app.cache, CACHE_USER, id);
	if (kind.len == 0 || str_eq(kind, STR("agent")))
		agents_load(me->app.agents);
	else if (str_eq(kind, STR("agents")))
		agents_reload(me->app.agents);
}

static void on_changes_read(void *arg, int64_t n)
{
	struct responder *me = arg;

	cache_heard(me->app.cache, n);
}

/* Something old lies in Redis, or may: everybody is told not to use it. */
static void on_cache_lost(void *arg)
{
	struct responder *me = arg;

	changes_announce(me->changes, "cache");
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int start_parts(struct responder *me, char *why, size_t why_size)
{
	const struct conf *conf = &me->conf;
	int64_t slot = me->process.slot;

	me->loop = loop_new();
	me->resolver = resolver_new(me->loop);
	me->http = http_new(me->loop, me->resolver);
	if (*conf->provider_ca_file)
		http_trust(me->http, conf->provider_ca_file);
	me->pool = pool_new(me->loop, me->resolver, conf, (int)slot,
			    (size_t)conf_share(conf->db_max_connections - DB_KEPT_ASIDE, conf->responders, slot),
			    (size_t)conf_share(conf->db_min_connections, conf->responders, slot));
	me->app = (struct app){
		.conf = conf, .loop = me->loop, .pool = me->pool, .turns = &me->turns, .auth = &me->auth, .server = &me->server};
	me->app.began_us = clock_mono_us();
	me->app.redis = redis_new(me->loop, me->resolver, conf, (int)slot);
	me->app.ratelimit = ratelimit_new(me->app.redis, conf, (int)slot);
	me->quotas = quotas_new(me->app.redis, conf, (int)slot);
	me->app.reservations = reservations_new(me->pool, conf, me->quotas);
	me->app.cache = cache_new(me->loop, me->app.redis, conf, on_cache_lost, me);
	me->app.process = &me->process;
	me->siblings = me->app.siblings = siblings_new(me->loop, &me->process, host_publish, &me->app);
	me->app.agents = agents_new(me->loop, me->pool, conf, why, why_size);
	if (!me->app.agents)
		return -1;
	pool_on_reachable(me->pool, on_database_reachable, me->app.agents);
	auth_init(&me->auth, me->loop, me->pool, conf);
	me->changes = changes_new(me->loop, me->pool, on_change, me);
	changes_on_read(me->changes, on_changes_read);
	on_cache_lost(me); /* who was here before us may have died between a change and what he would have dropped */
	me->jobs = jobs_new(me->loop, me->pool, conf, &me->process, &JOBS_TIMING);
	me->app.breakers = breakers_open(conf->run_dir, conf);
	me->turns = (struct turns){.loop = me->loop, .http = me->http, .pool = me->pool, .redis = me->app.redis, .cache = me->app.cache, .conf = conf, .process = &me->process,
				   .siblings = me->siblings, .agents = me->app.agents, .breakers = me->app.breakers};
	turns_init(&me->turns);
	me->server = (struct server){
		.loop = me->loop,
		.handler = {on_request, on_writable, on_left, me},
		.max_body_bytes = MAX_BODY_BYTES,
		.max_buffered_bytes = (size_t)conf->max_buffered_bytes,
	};
	loop_on_signal(me->loop, SIGTERM, on_terminate, me);
	loop_on_signal(me->loop, SIGINT, on_terminate, me);
	/* What multiwatch sends when it is told to end depends on its version. */
	loop_on_signal(me->loop, SIGQUIT, on_terminate, me);
	loop_on_signal(me->loop, SIGUSR1, on_terminate, me);
	if (server_open(&me->server, STDIN_FILENO) != 0) {
		snprintf(why, why_size, "Standard input is no listening socket: start me with spawn-fcgi (or llmchat-pool).");
		return -1;
	}
	if (control_open(&me->control, me->loop, &me->process, host_command, &me->app, why, why_size) != 0)
		return -1;
	timer_init(&me->start_tick, me->loop, on_start_tick, me);
	timer_start(&me->start_tick, 0);
	return 0;
}

static void stop_parts(struct responder *me)
{
	control_close(&me->control);
	server_close(&me->server);
	if (me->turns.sweeper) {
		turns_abandon_all(&me->turns);
		turns_fini(&me->turns);
	}
	jobs_free(me->jobs);
	changes_free(me->changes);
	auth_fini(&me->auth);
	agents_free(me->app.agents);
	siblings_free(me->siblings);
	timer_fini(&me->start_tick);
	timer_fini(&me->drain_tick);
	reservations_free(me->app.reservations);
	quotas_free(me->quotas);
	cache_free(me->app.cache);
	ratelimit_free(me->app.ratelimit);
	redis_free(me->app.redis);
	http_free(me->http);
	pool_free(me->pool);
	resolver_free(me->resolver);
	loop_turn(me->loop, false); /* what was put off: requests and connections that just went */
	breakers_close(me->app.breakers);
	if (!loop_free(me->loop))
		_exit(EXIT_FAILURE); /* a name look-up still runs, and exit() would wait for its thread */
}

static void log_stopped(const struct responder *me)
{
	struct loop_lag lag = loop_lag(me->loop);

	log_info(NULL, "stopped", "loop_turns", lag.n_turns, "loop_p50_us", lag.p50_us, "loop_p99_us", lag.p99_us, "loop_max_us",
		 lag.max_us, "loop_slow", lag.n_slow, "log_lines_dropped", log_n_dropped());
}

static int run(struct responder *me, int slot)
{
	char why[512];
	int result = EXIT_FAILURE;

	if (slot < 1 || slot > me->conf.responders) {
		fprintf(stderr, "--slot is %d: it must be a number from 1 to %lld (RESPONDERS).\n", slot, (long long)me->conf.responders);
		return EXIT_FAILURE;
	}
	request_libfcgi_init();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	raise_descriptor_limit();
	log_set_slot(slot);
	if (process_open(&me->process, me->conf.run_dir, me->conf.node_name, slot, why, sizeof(why)) != 0) {
		fprintf(stderr, "%s\n", why);
		return EXIT_FAILURE;
	}
	if (start_parts(me, why, sizeof(why)) == 0) {
		log_info(NULL, "started", "version", PACKAGE_VERSION, "generation", me->process.generation);
		loop_run(me->loop);
		log_stopped(me);
		result = EXIT_SUCCESS;
	} else {
		fprintf(stderr, "%s\n", why);
	}
	stop_parts(me);
	process_close(&me->process);
	return result;
}

/* Reads the configuration and looks at the files it names. Returns 0, or -1 with a sentence. */
static int load_conf(struct conf *conf, const char *env_file, char *why, size_t why_size)
{
	if (conf_load(conf, env_file && *env_file ? env_file : NULL, why, why_size) != 0)
		return -1;
	if (*conf->provider_ca_file)
		return ca_file_check("PROVIDER_CA_FILE", conf->provider_ca_file, why, why_size);
	return 0;
}

static void print_usage(FILE *out)
{
	fputs("llmchat-responder " PACKAGE_VERSION ": one FastCGI responder of LLMChat; llmchat-pool starts as many as are wanted.\n"
	      "\n"
	      "  --slot N          its number in the pool, from 1; the listening socket is standard input\n"
	      "  --env-file FILE   NAME=value lines for what the environment does not say (default: $LLMCHAT_ENV_FILE)\n"
	      "  --check-config    print the configuration (secrets as \"(set)\") and say whether it is valid\n"
	      "  --help-config     print every configuration variable with default, range and meaning\n"
	      "  --routes          print the routes: method, pattern, who may, stream or plain\n"
	      "  --version, --help\n",
	      out);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"slot", required_argument, NULL, 's'},   {"env-file", required_argument, NULL, 'e'},
		{"check-config", no_argument, NULL, 'c'}, {"help-config", no_argument, NULL, 'C'},
		{"routes", no_argument, NULL, 'r'},       {"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},         {0},
	};
	const char *env_file = getenv("LLMCHAT_ENV_FILE");
	struct responder me = {0};
	enum log_level level;
	bool check = false;
	int64_t slot = 0;
	char why[512];
	int option, result;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			if (!str_to_i64(str_from(optarg), &slot) || slot < 1 || slot > 64) {
				fprintf(stderr, "--slot is %s: it must be a number from 1 to 64.\n", optarg);
				return 2;
			}
			break;
		case 'e': env_file = optarg; break;
		case 'c': check = true; break;
		case 'C': conf_print_help(stdout); return EXIT_SUCCESS;
		case 'r': router_print(stdout); return EXIT_SUCCESS;
		case 'v': puts("llmchat-responder " PACKAGE_VERSION); return EXIT_SUCCESS;
		case 'h': print_usage(stdout); return EXIT_SUCCESS;
		default: print_usage(stderr); return 2;
		}
	}
	if (optind < argc) {
		print_usage(stderr);
		return 2;
	}
	mem_return_large();
	crypto_init();
	if (load_conf(&me.conf, env_file, why, sizeof(why)) != 0) {
		fprintf(stderr, "%s\n", why);
		conf_fini(&me.conf);
		return EXIT_FAILURE;
	}
	if (log_level_from(str_from(me.conf.log_level), &level))
		log_set_level(level);
	if (check) {
		conf_print(&me.conf, stdout);
		result = EXIT_SUCCESS;
	} else {
		result = run(&me, (int)slot);
	}
	conf_fini(&me.conf);
	return result;
}
