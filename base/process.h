/* Who this process is among those that share the database: node, slot and generation. While it lives it holds a file lock in
 * RUN_DIR; a process of this node whose lock is free is dead. */
#pragma once
#include "base/str.h"

struct process {
	char node[256];      /* host name (or NODE_NAME) and RUN_DIR: two pools of one host are two nodes */
	int slot;            /* 1..RESPONDERS */
	int64_t generation;  /* microseconds since 1970 at the start: never used twice by a slot */
	char run_dir[128];
	int lock_fd;
};

/* Takes the lock. Returns 0, or -1 with a sentence in why. */
MUST_CHECK int process_open(struct process *p, const char *run_dir, const char *node_name, int slot, char *why, size_t why_size);
/* Gives the lock back and removes its file. */
void process_close(struct process *p);
/* Does the process of this node with that slot and generation live? Removes the lock file of a dead one. */
bool process_alive(const struct process *p, int slot, int64_t generation);
