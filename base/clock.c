/* The two clocks. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t fixed_mono_us, fixed_real_us;

static uint64_t read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_mono_us(void)
{
	return fixed_mono_us ? fixed_mono_us : read_us(CLOCK_MONOTONIC);
}

uint64_t clock_real_us(void)
{
	return fixed_real_us ? fixed_real_us : read_us(CLOCK_REALTIME);
}

void clock_iso(uint64_t real_us, char out[CLOCK_ISO_SIZE])
{
	time_t seconds = (time_t)(real_us / 1000000);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(out, CLOCK_ISO_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + 19, CLOCK_ISO_SIZE - 19, ".%03uZ", (unsigned)(real_us / 1000 % 1000));
}

void clock_set_for_test(uint64_t mono_us, uint64_t real_us)
{
	fixed_mono_us = mono_us;
	fixed_real_us = real_us;
}
