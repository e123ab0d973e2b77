/* An answer as an append-only log of events. Readers are cursors: each is woken when something lies behind its cursor and takes it
 * whenever it can; a slow one just lags, and nothing upstream ever waits for one. */
#pragma once
#include "base/buf.h"
#include "base/loop.h"

enum event_type {
	EVENT_CHAT_ID,     /* JSON */
	EVENT_START,       /* JSON */
	EVENT_CHUNK,       /* text */
	EVENT_REASONING,   /* text */
	EVENT_TOOL,        /* JSON */
	EVENT_USAGE,       /* JSON */
	EVENT_PROGRESS,    /* JSON: how far a workflow is */
	EVENT_INTERACTIVE, /* JSON */
	EVENT_REPLACE,     /* text: takes the place of all chunks so far */
	EVENT_STATUS,      /* JSON: how it ended */
	EVENT_ERROR,       /* JSON */
	EVENT_END,         /* JSON; always the last */
};

/* What all answers of a responder may take together. */
struct answer_budget {
	size_t max_bytes, max_total_bytes, total_bytes;
};

struct answer {
	struct loop *loop;            /* borrowed */
	struct answer_budget *budget; /* borrowed */
	struct buf log;
	struct list readers;
	struct defer wake;
	bool held; /* readers are shown nothing of it */
};

struct reader {
	struct list node;
	const struct answer *answer; /* borrowed */
	size_t at;                   /* offset of the next event */
	void (*on_more)(struct reader *r);
};

struct answer_event {
	enum event_type type;
	size_t offset;   /* of its first byte: the id of the event */
	struct str data; /* borrowed until something is appended */
};

void answer_init(struct answer *a, struct loop *loop, struct answer_budget *budget);
/* Nobody may read it any more. */
void answer_fini(struct answer *a);
/* Appends and, unless it is held, wakes the readers at the end of this loop turn. -ERR_TOO_LARGE if the answer, or all of them, would be too large;
 * EVENT_STATUS, EVENT_ERROR and EVENT_END, which say how it ended, always fit. */
MUST_CHECK int answer_append(struct answer *a, enum event_type type, struct str data);
/* Wakes all readers at the end of this loop turn, for changes beside the log. */
void answer_wake(struct answer *a);
/* From now on readers are shown what it holds. */
void answer_release(struct answer *a);
/* Concatenates the data of all events of one type; of chunks those that have not been replaced. */
void answer_collect(const struct answer *a, enum event_type type, struct buf *out);

/* A cursor at the start of the log. Set r->on_more first; it is called from the loop, never from inside. */
void reader_join(struct reader *r, struct answer *a);
void reader_leave(struct reader *r);
/* The event at the cursor, which moves on; false if there is none yet, or the answer is held. */
bool reader_next(struct reader *r, struct answer_event *out);
