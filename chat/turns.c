/* The list of live turns, and the sweeper. */
#include "chat/turns.h"

#include <stdlib.h>

#include "base/conf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/process.h"
#include "base/siblings.h"
#include "chat/dedup.h"
#include "chat/sweeper.h"
#include "llm/farewell.h"

void turns_init(struct turns *turns)
{
	turns->budget.max_bytes = (size_t)turns->conf->max_answer_bytes;
	turns->budget.max_total_bytes = (size_t)turns->conf->max_answers_bytes;
	list_init(&turns->live);
	turns->farewells = farewells_new(turns->loop, turns->http);
	turns->dedup = dedup_new(turns->loop, turns->redis);
	turns->writes = turn_writes_new(turns->loop, turns->pool, turns->conf, turns->process);
	turns->sweeper = sweeper_new(turns->loop, turns->pool, turns->process);
}

bool turns_have_room(const struct turns *turns)
{
	return turns->n_live + siblings_sum(turns->siblings, COUNT_TURNS) < (uint64_t)turns->conf->max_concurrent;
}

bool turns_hold(struct turns *turns, size_t n_bytes)
{
	if (turns->asked_bytes + n_bytes > (size_t)turns->conf->max_buffered_bytes)
		return false;
	turns->asked_bytes += n_bytes;
	return true;
}

void turns_let_go(struct turns *turns, size_t n_bytes)
{
	turns->asked_bytes -= n_bytes;
}

void turns_count(struct turns *turns, int change)
{
	turns->n_live += (size_t)change;
	process_set(turns->process, COUNT_TURNS, turns->n_live);
}

void turns_fini(struct turns *turns)
{
	sweeper_free(turns->sweeper);
	turn_writes_free(turns->writes);
	farewells_free(turns->farewells);
	dedup_free(turns->dedup);
}

struct turn *turns_find(const struct turns *turns, struct str answer_id)
{
	for (struct list *l = turns->live.next; l != &turns->live; l = l->next) {
		struct turn *turn = CONTAINER_OF(l, struct turn, node);

		if (str_eq_nocase(uuid_str(&turn->answer_id), answer_id))
			return turn;
	}
	return NULL;
}

struct turn *turns_find_of(const struct turns *turns, struct str user_id, struct str answer_ref)
{
	struct turn *found = NULL;

	for (struct list *l = turns->live.prev; l != &turns->live; l = l->prev) {
		struct turn *turn = CONTAINER_OF(l, struct turn, node);

		if (!str_eq_nocase(turn->user_id, user_id))
			continue;
		if (!str_eq_nocase(uuid_str(&turn->answer_id), answer_ref) && !str_eq(turn->answer_client_id, answer_ref))
			continue;
		if (!turn->status)
			return turn;
		if (!found)
			found = turn;
	}
	return found;
}

void turns_interrupt_all(struct turns *turns)
{
	for (struct list *l = turns->live.next, *next; l != &turns->live; l = next) {
		next = l->next;
		turn_interrupt(CONTAINER_OF(l, struct turn, node));
	}
}

void turns_abandon_all(struct turns *turns)
{
	while (!list_empty(&turns->live)) {
		struct turn *turn = CONTAINER_OF(turns->live.next, struct turn, node);

		log_error(&turn->log, "turn_abandoned", "message", turn->answer_id.text);
		turn_free(turn);
	}
}
