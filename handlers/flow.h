/* A handler is a table of named steps; this driver runs it, measures each step, names it in the log, and cancels. */
#pragma once
#include <stdbool.h>

struct request;

/* What a step says after it was called. */
enum flow_next {
	FLOW_NEXT,  /* done: the next step */
	FLOW_WAIT,  /* one operation is in flight: finish is called when flow_wake comes */
	FLOW_AGAIN, /* call start once more, after others have had their turn */
	FLOW_DONE,  /* the request has been answered */
};

struct step {
	const char *name; /* NULL ends the table */
	enum flow_next (*start)(struct request *r);
	enum flow_next (*finish)(struct request *r); /* after FLOW_WAIT; NULL if start never waits */
};

/* Runs steps from the first one, and after them those of r->then if there are any. The last one must answer. */
void flow_start(struct request *r, const struct step *steps);
/* The operation that the step waits for is over (or has something): from the loop, never from inside start. */
void flow_wake(struct request *r);
/* The request is over, answered or not: cancels what is in flight; the request is freed at the end of the loop turn. */
void flow_end(struct request *r);
