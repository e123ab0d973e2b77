/* The file of base/breaker: its layout, and making and mapping it. */
#pragma once
#include "base/breaker.h"

/* What is in a word is base/breaker.c's matter; all of it zero is a breaker that never changed. */
struct breaker_entry {
	_Atomic uint64_t key; /* of the agent's id; 0: nobody's. Set once, for good */
	_Atomic uint64_t word;
	_Atomic uint64_t cool_until_ms;
	_Atomic uint64_t probes[BREAKER_MAX_PROBES];
	_Atomic uint64_t id[BREAKER_ID_BYTES / 8];
	uint64_t spare[2];
};

enum { BREAKER_ENTRIES = 8192 /* a power of two; there are at most 5000 agents */, BOOT_ID_SIZE = 40 };

struct breaker_table {
	uint64_t magic, size_bytes;
	char boot_id[BOOT_ID_SIZE]; /* times are those of the monotonic clock, which a boot begins anew */
	_Atomic uint64_t budget;
	struct breaker_entry entries[BREAKER_ENTRIES];
};

/* Maps RUN_DIR/breakers, which is made if need be. NULL with a sentence in why. */
struct breaker_table *breaker_table_open(const char *run_dir, char *why, size_t why_size);
/* Maps it to read. NULL with a sentence in why if it is not there or is no such file. */
struct breaker_table *breaker_table_peek(const char *run_dir, char *why, size_t why_size);
void breaker_table_close(struct breaker_table *table);
