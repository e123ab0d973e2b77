/* redis-server on a unix socket in a directory of its own; it dies with the test. */
#include "tests/unit/cache/world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

struct redis_server redis_server;

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "the test's Redis: %s (%s); on Debian: apt-get install redis-server\n", what, strerror(errno));
	exit(1);
}

static int connect_to_it(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", redis_server.socket);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	close(fd);
	return -1;
}

const char *redis_say(const char *first, ...)
{
	static char reply[4096];
	struct str args[REDIS_MAX_ARGS] = {str_from(first)};
	struct buf out = {0};
	size_t n_args = 1;
	ssize_t n;
	va_list list;
	int fd = connect_to_it();

	va_start(list, first);
	for (const char *word; (word = va_arg(list, const char *));)
		args[n_args++] = str_from(word);
	va_end(list);
	if (fd < 0)
		return NULL;
	resp_put_command(&out, args, n_args);
	n = send(fd, out.p, out.len, MSG_NOSIGNAL) == (ssize_t)out.len ? recv(fd, reply, sizeof(reply) - 1, 0) : -1;
	buf_fini(&out);
	close(fd);
	reply[n > 0 ? n : 0] = '\0';
	return reply;
}

void redis_server_start(void)
{
	pid_t parent = getpid();
	char log[96];
	const char *pong;
	int tries = 0;

	snprintf(log, sizeof(log), "%s/log", redis_server.dir);
	redis_server.pid = fork();
	if (redis_server.pid == 0) {
		int fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || getppid() != parent)
			_exit(126);
		unsetenv("LD_PRELOAD");
		execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", redis_server.socket, "--save", "", "--dir",
		       redis_server.dir, "--enable-debug-command", "yes", (char *)NULL);
		_exit(127);
	}
	while (!(pong = redis_say("PING", NULL)) || pong[0] != '+') {
		if (++tries > 1000 || waitpid(redis_server.pid, NULL, WNOHANG) != 0)
			give_up("redis-server does not start");
		poll(NULL, 0, 5);
	}
}

void redis_server_stop(void)
{
	if (redis_server.pid == 0)
		return;
	kill(redis_server.pid, SIGKILL);
	waitpid(redis_server.pid, NULL, 0);
	redis_server.pid = 0;
	unlink(redis_server.socket);
}

int start_redis(void **state)
{
	quiet(state);
	snprintf(redis_server.dir, sizeof(redis_server.dir), "/tmp/llmchat-redis-XXXXXX");
	if (!mkdtemp(redis_server.dir))
		give_up("mkdtemp");
	snprintf(redis_server.socket, sizeof(redis_server.socket), "%s/s", redis_server.dir);
	redis_server_start();
	return 0;
}

int stop_redis(void **state)
{
	char command[96];

	(void)state;
	redis_server_stop();
	snprintf(command, sizeof(command), "rm -rf '%s'", redis_server.dir);
	return strncmp(redis_server.dir, "/tmp/llmchat-redis-", 19) == 0 ? system(command) : 0;
}

int make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->conf = (struct conf){.redis_host = redis_server.socket,
				.redis_port = 6379,
				.redis_password = "",
				.redis_max_retries = 10,
				.redis_command_timeout_ms = 200,
				.rate_limit_points = 5,
				.rate_limit_duration_s = 60,
				.rate_limit_block_s = 60,
				.rate_limit_max_requests = 1000,
				.rate_limit_window_ms = 60000,
				.responders = 2};
	w->loop = loop_new();
	w->resolver = resolver_new(w->loop);
	if (redis_server.pid)
		redis_say("FLUSHALL", NULL);
	*state = w;
	return 0;
}

int end_world(void **state)
{
	struct world *w = *state;

	redis_free(w->redis);
	resolver_free(w->resolver);
	turn_few(w->loop);
	assert_true(loop_free(w->loop));
	free(w);
	return 0;
}

void world_connect(struct world *w)
{
	w->redis = redis_new(w->loop, w->resolver, &w->conf, 3);
}

void world_ready(struct world *w)
{
	if (!w->redis)
		world_connect(w);
	TURN_UNTIL(w->loop, redis_ready(w->redis));
}

static void on_done(struct op *op)
{
	struct ask *a = CONTAINER_OF(op, struct ask, c.op);
	const struct resp_reply *reply = a->c.reply;

	assert_false(a->done);
	a->done = true;
	a->err = op->err;
	a->took_ms = real_ms() - a->began_ms;
	if (!reply)
		return;
	a->type = reply->value.type;
	a->integer = reply->value.integer;
	snprintf(a->text, sizeof(a->text), "%.*s", STR_ARG(reply->value.text));
}

void ask_start(struct world *w, struct ask *a, const char *words)
{
	struct str args[REDIS_MAX_ARGS], rest = str_from(words);
	size_t n = 0;

	*a = (struct ask){.c = {.op.done = on_done, .writes = true}, .began_ms = real_ms()};
	while (rest.p)
		args[n++] = str_cut(&rest, ' ');
	redis_start(w->redis, &a->c, args, n);
	assert_false(a->done); /* never from inside */
}

void ask(struct world *w, struct ask *a, const char *words)
{
	ask_start(w, a, words);
	TURN_UNTIL(w->loop, a->done);
}
