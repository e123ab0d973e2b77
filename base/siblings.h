/* The other responders of this host: who lives, and what they count. Looked at about once a second; in between a sum is a few loads
 * from their mapped pages. One that has just begun is not counted for up to a second. */
#pragma once
#include "base/process.h"

struct loop;
struct siblings;

enum { MAX_SIBLINGS = 256 };

/* Once a second calls publish (which may bring self's own counts up to date) and then looks around; the first time at once.
 * All is borrowed until siblings_free. */
struct siblings *siblings_new(struct loop *loop, const struct process *self, void (*publish)(void *arg), void *arg);
void siblings_free(struct siblings *s);
/* Looks around now. */
void siblings_look(struct siblings *s);
/* What the living ones together count; draining ones are among them, self is not. */
uint64_t siblings_sum(const struct siblings *s, enum process_count what);
uint64_t siblings_tally(const struct siblings *s, uint64_t key, enum process_tally what);
/* Those that lived a second ago, self left out; returns how many, at most max. */
size_t siblings_list(const struct siblings *s, struct process_id *out, size_t max);
