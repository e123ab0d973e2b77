/* One answer on its way: what to send comes from answer.c, when to send it is decided here. */
#ifndef SIM_PLAY_H
#define SIM_PLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "sim/answer.h"

struct ask;
struct conn;
struct dialect;

struct play {
	struct conn *conn; /* borrowed */
	struct answer answer;
	uint64_t start_ms;
	unsigned epoch; /* of the counters */
	unsigned seq;
	bool stream;
	bool settled;      /* counted as completed, failed or lost */
	bool last_sent;    /* nothing follows what is being sent */
	bool close_after;  /* and then the connection closes */
	struct play *next; /* in pace's list */
	struct play *prev;
	struct buf slow; /* what pace.c sends a byte at a time; owned */
	size_t slow_at;
	bool paced;
};

/* Begins to answer the request of conn. Takes what it needs out of ask. */
void play_start(struct conn *conn, const struct script *script, struct ask *ask);

/* Answers a completions request with an error that no script asked for. param and code may be NULL. */
void play_refuse(struct conn *conn, const struct dialect *dialect, int status, const char *message, const char *param, const char *code);

void play_free(struct play *play);

/* From deliver.c: all of the answer is with the socket. Counts and frees it, and goes on to the next request. */
void play_finish(struct play *play);

/* From conn.c: the alarm's time has come, the socket has taken everything, the client has gone. */
void play_on_alarm(struct play *play);
void play_on_written(struct play *play);
void play_on_lost(struct play *play);

/* From pace.c: it is time for a byte of slow. (Defined in deliver.c.) */
void play_on_pace(struct play *play);

#endif
