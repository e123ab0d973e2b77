/* A histogram of durations: constant memory however many there are, percentiles to a tenth of a percent. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct json_writer;

enum { HISTOGRAM_SUBS = 1024, HISTOGRAM_POWERS = 28 }; /* up to 2^37 µs, more than a day */

struct histogram {
	uint64_t n, sum_us, min_us, max_us;
	uint32_t n_of[HISTOGRAM_SUBS * HISTOGRAM_POWERS];
};

/* An all-zero histogram is an empty one. */
void histogram_add(struct histogram *h, uint64_t us);
/* The duration that `percent` of all do not exceed; 0 if there are none. */
uint64_t histogram_percentile_us(const struct histogram *h, double percent);
/* {n,min,mean,p50,p90,p99,p999,max} in milliseconds under this key. */
void histogram_put(const struct histogram *h, struct json_writer *w, const char *key);
