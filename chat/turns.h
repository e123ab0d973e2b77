/* The live turns of this responder and what they share; also the sweeper that ends the turns of dead responders. */
#pragma once
#include "chat/turn.h"

struct agents;
struct breakers;
struct cache;
struct conf;
struct dedup;
struct farewells;
struct http;
struct pool;
struct process;
struct redis;
struct siblings;

struct turns {
	struct loop *loop; /* borrowed, as all of these */
	struct http *http;
	struct pool *pool;
	struct redis *redis;
	struct cache *cache;
	const struct conf *conf;
	struct process *process;
	const struct siblings *siblings;
	const struct agents *agents;
	struct breakers *breakers;
	struct turn_writes *writes;  /* owned */
	struct farewells *farewells; /* owned */
	struct dedup *dedup;         /* owned */
	struct answer_budget budget;
	struct list live;
	size_t n_live;
	size_t asked_bytes; /* of questions that have no answer yet: our copy and the provider's body, and of those that wait for another's */
	size_t n_kept;      /* endings that wait for the database */
	struct sweeper *sweeper; /* owned */
};

/* Set what is borrowed in an otherwise all-zero struct first. */
void turns_init(struct turns *turns);
/* May another one begin? MAX_CONCURRENT_REQUESTS is the host's: the siblings' turns count too. What two responders begin within the
 * same microseconds may exceed it by a few. */
bool turns_have_room(const struct turns *turns);
/* Is there room for n bytes of questions that wait for the answer of another's turn? Then they are counted, until they are given back. */
MUST_CHECK bool turns_hold(struct turns *turns, size_t n_bytes);
void turns_let_go(struct turns *turns, size_t n_bytes);
/* Another one lives, or has gone. Tells the siblings. */
void turns_count(struct turns *turns, int change);
/* No turn may be live. */
void turns_fini(struct turns *turns);
/* The live turn that writes this answer; NULL if there is none. Looks at all of them. */
struct turn *turns_find(const struct turns *turns, struct str answer_id);
/* The user's turn that writes this answer, or one that the client called so: the newest that goes on, else the newest whose ending is
 * being stored or read; NULL if there is none. */
struct turn *turns_find_of(const struct turns *turns, struct str user_id, struct str answer_ref);
/* Interrupts all: their endings are still to be stored, watch n_live. */
void turns_interrupt_all(struct turns *turns);
/* Drops what is left, whatever its state; for the end of a drain that took too long. */
void turns_abandon_all(struct turns *turns);
/* For chat/turn.c: frees the turn. */
void turn_free(struct turn *turn);
