/* llmchat-provider-sim: a stand-in for an OpenAI-compatible provider, for tests and load benches.
 * Options, the listening socket and the end; sim/README.md says what the rest does. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <uv.h>

#include "sim/conn.h"
#include "sim/sim.h"

struct options {
	const char *listen;
	const char *port_file; /* NULL: none */
	const char *key;       /* NULL: none */
};

static uv_tcp_t listener;
static uv_signal_t signals[2];

static const char help[] = "Usage: llmchat-provider-sim [OPTION]...\n"
			   "A stand-in LLM provider that speaks OpenAI's chat completions; the model's name scripts the answer.\n"
			   "\n"
			   "  --listen HOST:PORT  where to listen (default 127.0.0.1:0; port 0 takes a free one)\n"
			   "  --port-file FILE    write the port there once it is open\n"
			   "  --key KEY           refuse requests without 'Authorization: Bearer KEY'\n"
			   "  --help              print this\n";

/* Returns 0, 1 if --help was asked for, or -1. */
static int read_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
	    {"listen", required_argument, NULL, 'l'},
	    {"port-file", required_argument, NULL, 'p'},
	    {"key", required_argument, NULL, 'k'},
	    {"help", no_argument, NULL, 'h'},
	    {0},
	};
	int option;

	*options = (struct options){.listen = "127.0.0.1:0"};
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'l')
			options->listen = optarg;
		else if (option == 'p')
			options->port_file = optarg;
		else if (option == 'k')
			options->key = optarg;
		else if (option == 'h')
			return 1;
		else
			return -1;
	}
	return optind == argc ? 0 : -1;
}

/* Reads HOST:PORT: an IPv4 address, an IPv6 address in brackets, or localhost. */
static int read_address(const char *text, struct sockaddr_storage *address)
{
	const char *colon = strrchr(text, ':');
	char host[64];
	char *end;
	size_t len;
	long port;

	if (!colon || colon == text || (size_t)(colon - text) >= sizeof(host))
		return -1;
	len = (size_t)(colon - text);
	port = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end || port < 0 || port > 65535)
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		return uv_ip6_addr(host + 1, (int)port, (struct sockaddr_in6 *)address);
	}
	return uv_ip4_addr(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, (int)port, (struct sockaddr_in *)address);
}

/* Each stream is a descriptor, and the usual soft limit of 1024 is soon reached. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* By way of another name, so that whoever waits for the file never reads half of it. */
static int write_port_file(const char *path, int port)
{
	size_t size = strlen(path) + sizeof(".new");
	char *other_path = must_alloc(size);
	FILE *file;
	int err = 0;

	snprintf(other_path, size, "%s.new", path);
	file = fopen(other_path, "w");
	if (!file || fprintf(file, "%d\n", port) < 0)
		err = -1;
	if (file && fclose(file) != 0)
		err = -1;
	if (err == 0)
		err = rename(other_path, path);
	if (err < 0)
		fprintf(stderr, "llmchat-provider-sim: %s: %s\n", path, strerror(errno));
	free(other_path);
	return err;
}

static void on_connection(uv_stream_t *stream, int status)
{
	if (status < 0)
		fprintf(stderr, "llmchat-provider-sim: cannot accept: %s\n", uv_strerror(status));
	else
		conn_accept(stream->data, stream);
}

/* Nobody waits for answers under way: a provider that goes away is one of the things to be tested. */
static void on_signal(uv_signal_t *handle, int signo)
{
	struct sim *sim = handle->data;

	(void)signo;
	if (uv_is_closing((uv_handle_t *)&listener))
		return;
	for (struct conn *conn = sim->conns; conn; conn = conn->next)
		conn_close(conn);
	pace_close(&sim->pace);
	uv_close((uv_handle_t *)&listener, NULL);
	uv_close((uv_handle_t *)&signals[0], NULL);
	uv_close((uv_handle_t *)&signals[1], NULL);
}

static void watch_signals(struct sim *sim)
{
	static const int signos[2] = {SIGTERM, SIGINT};

	for (int i = 0; i < 2; i++) {
		uv_signal_init(sim->loop, &signals[i]);
		signals[i].data = sim;
		uv_signal_start(&signals[i], on_signal, signos[i]);
	}
	signal(SIGPIPE, SIG_IGN);
}

/* Opens the listening socket and says where. Returns 0 or -1 after a line on stderr. */
static int start_listening(struct sim *sim, const struct options *options)
{
	struct sockaddr_storage address = {0};
	int len = sizeof(address);
	int port;
	int err;

	if (read_address(options->listen, &address) < 0) {
		fprintf(stderr, "llmchat-provider-sim: --listen takes ADDRESS:PORT, not '%s'\n", options->listen);
		return -1;
	}
	listener.data = sim;
	uv_tcp_init(sim->loop, &listener);
	err = uv_tcp_bind(&listener, (struct sockaddr *)&address, 0);
	if (err == 0)
		err = uv_listen((uv_stream_t *)&listener, 4096, on_connection);
	if (err == 0)
		err = uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len);
	if (err < 0) {
		fprintf(stderr, "llmchat-provider-sim: %s: %s\n", options->listen, uv_strerror(err));
		return -1;
	}
	/* The port is at the same place in both kinds of address. */
	port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	if (options->port_file && write_port_file(options->port_file, port) < 0)
		return -1;
	printf("listening on %.*s:%d\n", (int)(strrchr(options->listen, ':') - options->listen), options->listen, port);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	struct options options;
	struct sim *sim;
	int asked = read_options(argc, argv, &options);
	int err;

	if (asked) {
		fputs(help, asked > 0 ? stdout : stderr);
		return asked > 0 ? 0 : 2;
	}
	sim = must_alloc(sizeof(*sim));
	sim->loop = uv_default_loop();
	sim->key = options.key;
	raise_descriptor_limit();
	err = pace_open(&sim->pace, sim->loop);
	if (err < 0) {
		fprintf(stderr, "llmchat-provider-sim: no timer: %s\n", uv_strerror(err));
		return 1;
	}
	watch_signals(sim);
	if (start_listening(sim, &options) < 0)
		return 1;
	uv_run(sim->loop, UV_RUN_DEFAULT);
	last_request_fini(&sim->last);
	buf_fini(&sim->scratch);
	uv_loop_close(sim->loop);
	free(sim);
	return 0;
}
