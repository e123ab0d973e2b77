/* Ends the turns of dead responders: rows that are still `streaming` though the process that worked on them is gone. */
#pragma once
struct loop;
struct pool;
struct process;
struct sweeper;

/* Sweeps at once and then every few seconds. */
struct sweeper *sweeper_new(struct loop *loop, struct pool *pool, const struct process *process);
void sweeper_free(struct sweeper *s);
