/* What many unit tests share: cmocka and what it needs, waiting for a condition with a deadline, descriptors counted,
 * numbers that look random but are the same in every run. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/str.h"

enum { PATIENCE_MS = 8000 };

/* clang-format off */
/* A struct str over a string literal, where an initializer must be constant. */
#define CONST_STR(literal) {(literal), sizeof(literal) - 1}
/* clang-format on */

/* The real clock, also while a test holds those of base/clock. */
static inline uint64_t real_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* clang-format off */
/* Turns the loop until the condition holds; the test fails if that takes too long. */
#define TURN_UNTIL(loop, condition) do {                                                  \
	uint64_t give_up_ms = real_ms() + PATIENCE_MS;                                    \
	for (unsigned turns_ = 0; !(condition); turns_++) {                               \
		if (real_ms() > give_up_ms)                                               \
			fail_msg("%s:%d: never came true: %s", __FILE__, __LINE__, #condition); \
		loop_turn((loop), false);                                                 \
		if (turns_ > 20)                                                          \
			poll(NULL, 0, 1);                                                 \
	}                                                                                 \
} while (0)
/* clang-format on */

/* Turns the loop as often as it takes for what is there already to have been dealt with. */
static inline void turn_few(struct loop *loop)
{
	for (int i = 0; i < 4; i++)
		loop_turn(loop, false);
}

static inline void turn_for_ms(struct loop *loop, uint64_t ms)
{
	uint64_t end_ms = real_ms() + ms;

	while (real_ms() < end_ms) {
		loop_turn(loop, false);
		poll(NULL, 0, 1);
	}
	turn_few(loop); /* for timers that came due while this process had no processor */
}

static inline size_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* xorshift; seed must not be 0. */
static inline uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* clang-format off */
#define assert_str(actual, expected) do {                                                                             \
	struct str actual_ = (actual), expected_ = (expected);                                                        \
	if (!str_eq(actual_, expected_))                                                                              \
		fail_msg("%s:%d: got \"%.*s\", expected \"%.*s\"", __FILE__, __LINE__, STR_ARG(actual_), STR_ARG(expected_)); \
} while (0)
/* clang-format on */
#define assert_text(actual, literal) assert_str((actual), STR(literal))

/* For cmocka: log lines that a test provokes are no news. */
static inline int quiet(void **state)
{
	(void)state;
	log_set_level((enum log_level)(LOG_ERROR + 1));
	return 0;
}
