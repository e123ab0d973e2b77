/* bench/load: load on an HTTP server of this machine, every answer checked. One thread, one epoll; it must take far less of the
 * machine than what it measures, and says what it took. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench/client.h"

enum {
	MAX_EVENTS = 256,
	STARTS_AT_ONCE = 32, /* then what has come is read: a burst must not make us see it late */
	AFTER_FAULT_US = 100000,
	STOP_LOOK_US = 200000,
};

static volatile sig_atomic_t told_to_stop;

static void on_signal(int signum)
{
	(void)signum;
	told_to_stop = 1;
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void queue_init(struct queue *queue, uint64_t wait_us)
{
	list_init(&queue->clients);
	queue->wait_us = wait_us;
}

/* Begins those whose turn it is on the ramp. Returns when the next one's is. */
static uint64_t start_due(struct load *load, struct client *clients, size_t *n_started)
{
	const struct options *o = &load->options;

	for (int i = 0; *n_started < o->n && !load->stop; i++) {
		uint64_t due_us = load->began_us + o->ramp_us * *n_started / o->n, now_us = clock_mono_us();

		if (due_us > now_us)
			return due_us;
		if (i == STARTS_AT_ONCE)
			return now_us;
		client_start(&clients[(*n_started)++]);
	}
	return UINT64_MAX;
}

static int wait_ms(uint64_t until_us)
{
	uint64_t now_us = clock_mono_us(), most_us = now_us + STOP_LOOK_US;

	if (until_us > most_us)
		until_us = most_us;
	return until_us <= now_us ? 0 : (int)((until_us - now_us + 999) / 1000);
}

static bool anything_left(const struct load *load, size_t n_started)
{
	if (load->tally.n_open > 0 || load->stop)
		return load->tally.n_open > 0;
	return n_started < load->options.n || !list_empty(&load->thinking.clients) || !list_empty(&load->after_fault.clients);
}

static void run(struct load *load, struct client *clients)
{
	struct epoll_event events[MAX_EVENTS];
	uint64_t start_us, due_us, turn_us;
	size_t n_started = 0;
	int n;

	while (anything_left(load, n_started)) {
		turn_us = clock_mono_us();
		if (told_to_stop) {
			load->stop = true;
			for (size_t i = 0; i < load->options.n; i++)
				client_abandon(&clients[i]);
		}
		due_us = clients_go_on(load);
		start_us = start_due(load, clients, &n_started);
		n = wait_ms(start_us < due_us ? start_us : due_us);
		histogram_add(&load->tally.turn, clock_mono_us() - turn_us);
		n = epoll_wait(load->epoll_fd, events, MAX_EVENTS, n);
		turn_us = clock_mono_us();
		for (int i = 0; i < n; i++)
			client_ready(events[i].data.ptr, events[i].events);
		histogram_add(&load->tally.turn, clock_mono_us() - turn_us);
	}
}

int main(int argc, char **argv)
{
	struct load *load = mem_alloc(sizeof(*load));
	struct client *clients;
	bool good;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		options_print_usage();
		free(load);
		return EXIT_SUCCESS;
	}
	if (!options_read(&load->options, argc, argv)) {
		options_fini(&load->options);
		free(load);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	raise_descriptor_limit();
	queue_init(&load->thinking, load->options.think_us);
	queue_init(&load->after_fault, AFTER_FAULT_US > load->options.think_us ? AFTER_FAULT_US : load->options.think_us);
	queue_init(&load->paused, load->options.bytes_per_s ? TRICKLE_US : load->options.stop_us);
	queue_init(&load->deadlines, load->options.timeout_us);
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	load->visitors = mem_alloc((load->options.n_cookies + 1) * sizeof(*load->visitors));
	clients = mem_alloc(load->options.n * sizeof(*clients));
	for (size_t i = 0; i < load->options.n; i++)
		client_init(&clients[i], load, i);
	load->began_us = load->tally.began_us = clock_mono_us();
	run(load, clients);
	load->tally.ended_us = clock_mono_us();
	tally_print(&load->tally, &load->options);
	good = load->tally.n_failed == 0;
	for (size_t i = 0; i < load->options.n; i++)
		client_fini(&clients[i]);
	close(load->epoll_fd);
	free(clients);
	free(load->visitors);
	options_fini(&load->options);
	free(load);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
