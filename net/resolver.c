/* Single-flight name look-ups on libuv's worker threads. */
#include "net/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

/* An address is fresh for KEEP_US; after that it is still given out, while another look-up is under way, so that a slow name server
 * holds up the first request to a name and no other. */
enum {
	KEEP_US = 30000000,
	KEEP_STALE_US = 300000000,
	KEEP_FAILURE_US = 1000000,
	DEFAULT_DEADLINE_US = 5000000,
	MAX_NAMES = 256,
	TICK_MS = 100
};

/* libuv lets name look-ups have half of its threads. */
#define N_THREADS "8"

/* What is known of one name. While a look-up is in flight `request` is set and waiters may hang here. */
struct name {
	struct list node; /* in resolver.names */
	char host[RESOLVE_HOST_SIZE];
	char addresses[RESOLVE_SIZE]; /* empty: the look-up failed */
	bool shortage;                /* for want of a descriptor of ours */
	uint64_t fresh_until_us, usable_until_us;
	uv_getaddrinfo_t *request; /* owned by libuv while in flight */
	struct resolver *resolver; /* NULL once the resolver is gone */
	struct list waiters;
};

struct resolver {
	struct loop *loop; /* borrowed */
	struct list names;
	size_t n_names;
	struct list answered; /* waiters whose answer is known, told in the next deferred run */
	struct defer tell;
	struct timer tick; /* deadlines, while anybody waits */
	bool ticking;
};

static void on_tick(void *arg);

struct resolver *resolver_new(struct loop *loop)
{
	struct resolver *r = mem_alloc(sizeof(*r));

	setenv("UV_THREADPOOL_SIZE", N_THREADS, 0);
	r->loop = loop;
	list_init(&r->names);
	list_init(&r->answered);
	list_init(&r->tell.node);
	timer_init(&r->tick, loop, on_tick, r);
	return r;
}

static void free_name(struct name *n)
{
	list_remove(&n->node);
	free(n);
}

void resolver_free(struct resolver *r)
{
	struct list *node;

	while ((node = list_pop(&r->names))) {
		struct name *n = CONTAINER_OF(node, struct name, node);

		n->resolver = NULL;
		if (n->request)
			uv_cancel((uv_req_t *)n->request); /* on_addresses still comes and frees n */
		else
			free(n);
	}
	defer_cancel(&r->tell);
	timer_fini(&r->tick);
	free(r);
}

static void tell(struct defer *d)
{
	struct resolver *resolver = CONTAINER_OF(d, struct resolver, tell);
	struct list batch, *node;

	list_init(&batch);
	list_move_all(&batch, &resolver->answered);
	while ((node = list_pop(&batch))) {
		struct resolve *r = CONTAINER_OF(node, struct resolve, node);

		op_finish(&r->op, r->op.err);
	}
}

static void answer(struct resolve *r, const char *addresses, int err)
{
	snprintf(r->addresses, sizeof(r->addresses), "%s", addresses);
	r->op.err = err;
	list_remove(&r->node);
	list_push(&r->resolver->answered, &r->node);
	loop_defer(r->resolver->loop, &r->resolver->tell, tell);
}

static void answer_from(struct resolve *r, const struct name *n)
{
	answer(r, n->addresses, n->addresses[0] ? 0 : n->shortage ? -ERR_OVERLOADED : -ERR_UPSTREAM);
}

/* The first few addresses: a name may have one that nobody listens on, localhost for instance. */
static void take_addresses(struct name *n, const struct addrinfo *found)
{
	char text[INET6_ADDRSTRLEN];
	size_t len = 0;

	n->addresses[0] = '\0';
	for (int i = 0; found && i < RESOLVE_MAX_ADDRESSES; found = found->ai_next) {
		if (getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		len += (size_t)snprintf(n->addresses + len, sizeof(n->addresses) - len, "%s%s", len ? "," : "", text);
		i++;
	}
}

/* getaddrinfo gives many names to the failure of opening a file or a socket: is there a descriptor to be had? */
static bool lacks_descriptors(void)
{
	int fd = dup(STDERR_FILENO);

	if (fd < 0)
		return err_is_shortage(errno);
	close(fd);
	return false;
}

static void take_answer(struct name *n, int status, const struct addrinfo *found)
{
	uint64_t now_us = clock_mono_us();

	if (status == 0 || now_us >= n->usable_until_us)
		take_addresses(n, status == 0 ? found : NULL);
	if (status == 0 && n->addresses[0]) {
		n->fresh_until_us = now_us + KEEP_US;
		n->usable_until_us = now_us + KEEP_STALE_US;
		return;
	}
	n->shortage = lacks_descriptors();
	n->fresh_until_us = n->shortage ? now_us : now_us + KEEP_FAILURE_US;
	log_warn(NULL, "name_not_found", "host", n->host, "error", status ? uv_err_name(status) : "EAI_NONAME", "known_until_now",
		 (bool)!!n->addresses[0]);
}

static void on_addresses(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct name *n = request->data;
	struct list *node;

	n->request = NULL;
	free(request);
	if (!n->resolver) {
		uv_freeaddrinfo(found);
		free(n);
		return;
	}
	take_answer(n, status, found);
	uv_freeaddrinfo(found);
	while ((node = list_pop(&n->waiters)))
		answer_from(CONTAINER_OF(node, struct resolve, node), n);
}

static bool is_numeric(const char *host)
{
	unsigned char address[16];

	return inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
}

static struct name *find_name(struct resolver *resolver, const char *host)
{
	for (struct list *l = resolver->names.next; l != &resolver->names; l = l->next) {
		struct name *n = CONTAINER_OF(l, struct name, node);

		if (strcmp(n->host, host) == 0)
			return n;
	}
	return NULL;
}

/* Room for one more: the oldest name that nobody waits for goes. */
static bool make_room(struct resolver *resolver)
{
	for (struct list *l = resolver->names.next; resolver->n_names >= MAX_NAMES && l != &resolver->names; l = l->next) {
		struct name *n = CONTAINER_OF(l, struct name, node);

		if (!n->request) {
			free_name(n);
			resolver->n_names--;
			break;
		}
	}
	return resolver->n_names < MAX_NAMES;
}

static struct name *add_name(struct resolver *resolver, const char *host)
{
	struct name *n;

	if (!make_room(resolver))
		return NULL;
	n = mem_alloc(sizeof(*n));
	snprintf(n->host, sizeof(n->host), "%s", host);
	n->resolver = resolver;
	list_init(&n->waiters);
	list_push(&resolver->names, &n->node);
	resolver->n_names++;
	return n;
}

static bool look_up(struct name *n)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};

	n->request = mem_alloc(sizeof(*n->request));
	n->request->data = n;
	if (uv_getaddrinfo(loop_uv(n->resolver->loop), n->request, on_addresses, n->host, NULL, &hints) == 0)
		return true;
	free(n->request);
	n->request = NULL;
	return false;
}

static void on_tick(void *arg)
{
	struct resolver *resolver = arg;
	uint64_t now_us = clock_mono_us();
	bool anybody = false;

	for (struct list *l = resolver->names.next; l != &resolver->names; l = l->next) {
		struct name *n = CONTAINER_OF(l, struct name, node);

		for (struct list *w = n->waiters.next, *next; w != &n->waiters; w = next) {
			struct resolve *r = CONTAINER_OF(w, struct resolve, node);

			next = w->next;
			if (r->op.deadline_us <= now_us)
				answer(r, "", -ERR_UPSTREAM_TIMEOUT);
			else
				anybody = true;
		}
	}
	resolver->ticking = anybody;
	if (anybody)
		timer_start(&resolver->tick, TICK_MS);
}

static void cancel(struct op *op)
{
	list_remove(&CONTAINER_OF(op, struct resolve, op)->node);
}

/* Is there an answer to give at once? One that is no longer fresh is looked up again meanwhile. */
static bool is_usable(struct name *n)
{
	uint64_t now_us = clock_mono_us();

	if (now_us < n->fresh_until_us)
		return true;
	return n->addresses[0] && now_us < n->usable_until_us && (n->request || look_up(n));
}

void resolve_start(struct resolver *resolver, struct resolve *r, struct str host)
{
	char text[RESOLVE_HOST_SIZE];
	struct name *n;

	r->resolver = resolver;
	r->op.cancel = cancel;
	list_init(&r->node);
	if (r->op.deadline_us == 0)
		r->op.deadline_us = clock_mono_us() + DEFAULT_DEADLINE_US;
	if (host.len == 0 || host.len >= sizeof(text)) {
		answer(r, "", -ERR_UPSTREAM);
		return;
	}
	memcpy(text, host.p, host.len);
	text[host.len] = '\0';
	if (is_numeric(text)) {
		answer(r, text, 0);
		return;
	}
	n = find_name(resolver, text);
	if (!n)
		n = add_name(resolver, text);
	if (n && is_usable(n)) {
		answer_from(r, n);
		return;
	}
	if (!n || (!n->request && !look_up(n))) {
		answer(r, "", -ERR_UPSTREAM);
		return;
	}
	list_push(&n->waiters, &r->node);
	if (!resolver->ticking) /* started anew by every waiter it would never fire under load */
		timer_start(&resolver->tick, TICK_MS);
	resolver->ticking = true;
}
