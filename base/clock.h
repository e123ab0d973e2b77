/* Time: monotonic for waits, real for people. Tests may set both. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { CLOCK_ISO_SIZE = 25 }; /* "2025-10-03T12:00:00.000Z" and its NUL */

uint64_t clock_mono_us(void);
/* Microseconds since 1970. */
uint64_t clock_real_us(void);
/* ISO 8601, UTC, milliseconds. */
void clock_iso(uint64_t real_us, char out[CLOCK_ISO_SIZE]);
/* From now on both clocks stand still at these times; 0, 0 lets them run again. */
void clock_set_for_test(uint64_t mono_us, uint64_t real_us);
