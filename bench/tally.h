/* What is counted, and the report made of it. */
#pragma once
#include "bench/histogram.h"
#include "bench/options.h"

enum fault {
	FAULT_CONNECT,  /* no connection */
	FAULT_RESET,    /* the connection broke */
	FAULT_TIMEOUT,  /* not over within --timeout-s */
	FAULT_STATUS,   /* another status than there should be */
	FAULT_HTTP,     /* not HTTP, or cut off */
	FAULT_ORDER,    /* events missing, or in another order */
	FAULT_TEXT,     /* not what the provider said */
	FAULT_ERROR,    /* the stream says itself that it failed */
	FAULT_ENVELOPE, /* an answer or error without what docs/api.md promises */
	N_FAULTS
};

enum { N_SAMPLES = 8, SAMPLE_SIZE = 320, N_STATUSES = 600 };

struct tally {
	uint64_t n_asked, n_completed, n_failed, n_left, n_unfinished;
	uint64_t n_measured; /* completed between warm-up and end of --duration-s */
	uint64_t n_tokens, n_events, n_pings, n_bytes, n_connections;
	uint64_t n_of_status[N_STATUSES], n_of_fault[N_FAULTS];
	size_t n_open, peak_open;
	uint64_t began_us, ended_us;
	struct histogram connect, first, gap, whole;
	struct histogram turn; /* of our own loop: while it is long we see events late */
	char samples[N_SAMPLES][SAMPLE_SIZE];
	size_t n_samples;
};

/* Counts a failure and keeps the first few sentences. */
void tally_fault(struct tally *t, enum fault fault, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The JSON object, on one line on stdout. */
void tally_print(const struct tally *t, const struct options *o);
