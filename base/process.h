/* Who this process is among those that share the database: node, slot and generation. While it lives it holds a file lock in
 * RUN_DIR; a process of this node whose lock is free is dead. The locked file also carries what the process counts, for its siblings to read. */
#pragma once
#include "base/str.h"

enum { PROCESS_CACHE_KINDS = 3 };

/* Written by the process alone, readable by others of this host; gauges, all but COUNT_REQUESTS and those of the cache, mean nothing once
 * it is dead. */
enum process_count {
	COUNT_DRAINING, /* 1: told to stop, it ends when its turns are over */
	COUNT_JOBS,     /* 1: it holds the lock of the jobs */
	COUNT_TURNS,
	COUNT_CONNECTIONS,
	COUNT_REQUESTS, /* since the start */
	COUNT_DB_ACTIVE,
	COUNT_DB_IDLE,
	COUNT_DB_WAITING,
	COUNT_DB_MAX,
	COUNT_BUSY,       /* requests that are not answered yet */
	COUNT_REDIS_AWAY, /* 1: it should have Redis and cannot use it */
	COUNT_CACHE_HITS, /* since the start, as the next ones: of each kind of cache/cache.h, in their order */
	COUNT_CACHE_MISSES = COUNT_CACHE_HITS + PROCESS_CACHE_KINDS,
	N_COUNTS = COUNT_CACHE_MISSES + PROCESS_CACHE_KINDS
};

/* What is counted for some names only, each known by a hash of it. */
enum process_tally {
	TALLY_CALLS,   /* of an agent with maxConcurrent: calls to its provider */
	TALLY_WAITING, /* turns that wait for one */
	N_TALLIES
};
enum { MAX_TALLIED = 128 }; /* names at a time */

/* The contents of a lock file. Whoever changes it changes PROCESS_MAGIC: generations of two versions may live side by side. */
#define PROCESS_MAGIC UINT64_C(0x3330656d61686c6c)
struct process_page {
	uint64_t magic, size_bytes, pid, slot, generation;
	char version[24];
	_Atomic uint64_t counts[N_COUNTS]; /* each loaded and stored whole, none in step with another */
	struct process_tallied {
		_Atomic uint64_t key; /* 0: nobody */
		_Atomic uint64_t n[N_TALLIES];
	} tallied[MAX_TALLIED];
};

struct process_id {
	int slot;           /* 1..RESPONDERS */
	int64_t generation; /* microseconds since 1970 at the start: never used twice by a slot */
};

struct process {
	char node[256];      /* host name (or NODE_NAME) and RUN_DIR: two pools of one host are two nodes */
	int slot;
	int64_t generation;
	char run_dir[128];
	int lock_fd;
	struct process_page *page; /* owned: the mapped lock file */
};

/* Takes the lock. Returns 0, or -1 with a sentence in why. */
MUST_CHECK int process_open(struct process *p, const char *run_dir, const char *node_name, int slot, char *why, size_t why_size);
/* Gives the lock back and removes its file. */
void process_close(struct process *p);
/* Does the process of this node with that slot and generation live? Removes what a dead one left in RUN_DIR. */
bool process_alive(const struct process *p, int slot, int64_t generation);

/* Tells the others. */
void process_set(struct process *p, enum process_count what, uint64_t value);
uint64_t process_get(const struct process_page *page, enum process_count what);

/* Counts one more (1) or less (-1) of what a name has. False if there is no place for another name: then nobody is told. */
MUST_CHECK bool process_tally(struct process *p, uint64_t key, enum process_tally what, int change);
uint64_t process_tally_get(const struct process_page *page, uint64_t key, enum process_tally what);

/* The processes that have a lock file in RUN_DIR, by slot and generation; they need not live. Returns how many (at most max; the
 * rest is left out), or -errno. */
MUST_CHECK int process_list(const char *run_dir, struct process_id *out, size_t max);
/* Opens the lock file of a living process, to read. Returns the descriptor; -ENOENT if it is dead: what it left in RUN_DIR is
 * removed then; another -errno if nobody can tell. */
MUST_CHECK int process_look(const char *run_dir, struct process_id id);
/* With that descriptor: is the process dead by now? */
bool process_lock_free(int fd);
/* Reads its counts from there, once. False if the file is damaged, of another version, or not its own. */
MUST_CHECK bool process_read(int fd, struct process_id id, struct process_page *out);
/* The same, mapped: they change under the reader's eyes. NULL if process_read would say false. */
const struct process_page *process_map(int fd, struct process_id id);
void process_unmap(const struct process_page *page);
/* RUN_DIR/NAME.SLOT.GENERATION: what a process has there is called so. */
enum { PROCESS_PATH_SIZE = 192 };
void process_path(const char *run_dir, const char *name, struct process_id id, char out[PROCESS_PATH_SIZE]);
