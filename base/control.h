/* The control socket: one datagram is a command, one datagram answers it. Each process has one in RUN_DIR, for its own user (and
 * root) only. What the commands do is the callback's business. */
#pragma once
#include "base/buf.h"
#include "base/loop.h"
#include "base/op.h"
#include "base/process.h"

enum { CONTROL_MAX_COMMAND = 1024, CONTROL_MAX_ANSWER = 64 * 1024 };

struct control {
	struct loop *loop; /* borrowed */
	/* Carries out a command, at once, and appends its answer, of CONTROL_MAX_ANSWER bytes at most. */
	void (*on_command)(void *arg, struct str command, struct buf *answer);
	void *arg; /* borrowed */
	/* the socket's own: */
	int fd;
	struct watch watch;
	char path[PROCESS_PATH_SIZE];
};

/* Makes RUN_DIR/ctl.SLOT.GENERATION. Returns 0, or -1 with a sentence in why. */
MUST_CHECK int control_open(struct control *c, struct loop *loop, const struct process *self,
			    void (*on_command)(void *arg, struct str command, struct buf *answer), void *arg, char *why, size_t why_size);
/* Removes it. Also right for an all-zero one. */
void control_close(struct control *c);

/* One command to one process of this host, ours included. */
struct control_ask {
	struct op op; /* op.done and op.deadline_us (0: CONTROL_PATIENCE_MS from now) are set by whoever asks */
	/* the ask's own: */
	struct loop *loop;
	struct buf answer; /* valid in done, until control_ask_fini */
	struct str command;
	struct watch watch;
	struct timer timer;
	struct defer failed;
	int fd;
};

enum { CONTROL_PATIENCE_MS = 1000 };

/* Asks; the command is borrowed until done. An all-zero ask with op.done set can be started. op.err:
 *   0                the answer is in ask->answer
 *   -ERR_NO_ANSWER   it is dead, does not take our command, or has not answered in time: it may yet carry out what it took
 * Nothing here waits for the other side. */
void control_ask_start(struct loop *loop, struct control_ask *ask, const char *run_dir, struct process_id id, struct str command);
/* Cancels if it is in flight, and frees the answer. The ask can be started again. */
void control_ask_fini(struct control_ask *ask);
