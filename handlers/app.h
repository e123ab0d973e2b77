/* The parts of a responder, made by main.c and passed to whoever needs them. All borrowed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct agents;
struct auth;
struct breakers;
struct cache;
struct conf;
struct loop;
struct pool;
struct process;
struct ratelimit;
struct redis;
struct reservations;
struct server;
struct siblings;
struct turns;

struct app {
	const struct conf *conf;
	struct loop *loop;
	struct pool *pool;
	struct redis *redis;
	struct ratelimit *ratelimit;
	struct reservations *reservations;
	struct cache *cache;
	struct auth *auth;
	struct agents *agents;
	struct turns *turns;
	struct server *server;
	struct process *process; /* what it counts, siblings see */
	struct siblings *siblings;
	struct breakers *breakers; /* the host's */
	uint64_t began_us;         /* clock_mono_us of the start */
	uint64_t n_requests;       /* since then */
	bool draining;             /* told to stop: serves on until its turns are over */
	bool closing;              /* too late for that: begins no turn any more */
};
