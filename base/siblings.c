/* Looking for siblings: a listing of RUN_DIR, and a question to each one's lock. */
#include "base/siblings.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

enum { PERIOD_MS = 1000 };

struct siblings {
	const struct process *self;
	void (*publish)(void *arg);
	void *arg;
	struct timer timer;
	struct sibling {
		struct process_id id;
		int fd;                          /* its lock file, owned */
		const struct process_page *page; /* owned; NULL: it lives, but cannot be read */
	} all[MAX_SIBLINGS];
	size_t n;
};

static void forget(struct sibling *one)
{
	process_unmap(one->page);
	close(one->fd);
}

static void drop_dead(struct siblings *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		struct sibling *one = &s->all[i];

		if (process_lock_free(one->fd)) {
			forget(one);
			(void)!process_alive(s->self, one->id.slot, one->id.generation); /* removes its files */
		} else {
			s->all[n++] = *one;
		}
	}
	s->n = n;
}

static bool known(const struct siblings *s, struct process_id id)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->all[i].id.slot == id.slot && s->all[i].id.generation == id.generation)
			return true;
	return id.slot == s->self->slot && id.generation == s->self->generation;
}

static void add(struct siblings *s, struct process_id id)
{
	int fd = process_look(s->self->run_dir, id);
	const struct process_page *page;

	if (fd < 0)
		return;
	page = process_map(fd, id);
	if (!page)
		log_warn(NULL, "sibling_unreadable", "its_slot", id.slot, "its_generation", id.generation);
	s->all[s->n++] = (struct sibling){id, fd, page};
}

void siblings_look(struct siblings *s)
{
	struct process_id found[MAX_SIBLINGS];
	int n;

	drop_dead(s);
	n = process_list(s->self->run_dir, found, N_ELEMENTS(found));
	for (int i = 0; i < n && s->n < MAX_SIBLINGS; i++)
		if (!known(s, found[i]))
			add(s, found[i]);
}

static void on_tick(void *arg)
{
	struct siblings *s = arg;

	s->publish(s->arg);
	siblings_look(s);
	timer_start(&s->timer, PERIOD_MS);
}

struct siblings *siblings_new(struct loop *loop, const struct process *self, void (*publish)(void *arg), void *arg)
{
	struct siblings *s = mem_alloc(sizeof(*s));

	s->self = self;
	s->publish = publish;
	s->arg = arg;
	timer_init(&s->timer, loop, on_tick, s);
	timer_start(&s->timer, 0);
	return s;
}

void siblings_free(struct siblings *s)
{
	if (!s)
		return;
	timer_fini(&s->timer);
	while (s->n > 0)
		forget(&s->all[--s->n]);
	free(s);
}

uint64_t siblings_sum(const struct siblings *s, enum process_count what)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->all[i].page)
			sum += process_get(s->all[i].page, what);
	return sum;
}

uint64_t siblings_tally(const struct siblings *s, uint64_t key, enum process_tally what)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->all[i].page)
			sum += process_tally_get(s->all[i].page, key, what);
	return sum;
}

size_t siblings_list(const struct siblings *s, struct process_id *out, size_t max)
{
	size_t n = s->n < max ? s->n : max;

	for (size_t i = 0; i < n; i++)
		out[i] = s->all[i].id;
	return n;
}
