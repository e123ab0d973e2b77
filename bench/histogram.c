/* Buckets: 1024 for each power of two, so that the largest error is a thousandth of the value. */
#include "bench/histogram.h"

#include "base/json.h"

static size_t bucket_of(uint64_t us)
{
	unsigned shift;

	if (us < HISTOGRAM_SUBS)
		return (size_t)us;
	shift = 63 - (unsigned)__builtin_clzll(us) - 10;
	if (shift > HISTOGRAM_POWERS - 2)
		return (size_t)HISTOGRAM_SUBS * HISTOGRAM_POWERS - 1;
	return (size_t)(shift + 1) * HISTOGRAM_SUBS + (size_t)((us >> shift) - HISTOGRAM_SUBS);
}

/* The largest duration that falls into the bucket. */
static uint64_t bucket_us(size_t bucket)
{
	unsigned shift;

	if (bucket < HISTOGRAM_SUBS)
		return bucket;
	shift = (unsigned)(bucket / HISTOGRAM_SUBS) - 1;
	return ((uint64_t)(bucket % HISTOGRAM_SUBS + HISTOGRAM_SUBS) << shift) + ((uint64_t)1 << shift) - 1;
}

void histogram_add(struct histogram *h, uint64_t us)
{
	if (h->n == 0 || us < h->min_us)
		h->min_us = us;
	if (us > h->max_us)
		h->max_us = us;
	h->n++;
	h->sum_us += us;
	h->n_of[bucket_of(us)]++;
}

uint64_t histogram_percentile_us(const struct histogram *h, double percent)
{
	uint64_t rank = (uint64_t)((double)h->n * percent / 100.0), seen = 0;

	if (h->n == 0)
		return 0;
	if ((double)rank < (double)h->n * percent / 100.0)
		rank++; /* the smallest rank that covers so many percent */
	for (size_t bucket = 0; bucket < (size_t)HISTOGRAM_SUBS * HISTOGRAM_POWERS; bucket++) {
		seen += h->n_of[bucket];
		if (seen >= rank)
			return bucket_us(bucket) < h->max_us ? bucket_us(bucket) : h->max_us;
	}
	return h->max_us;
}

static void put_ms(struct json_writer *w, const char *key, double us)
{
	json_key(w, key);
	json_put_number(w, us / 1000.0);
}

void histogram_put(const struct histogram *h, struct json_writer *w, const char *key)
{
	json_key(w, key);
	json_open(w, '{');
	json_add_int(w, "n", (int64_t)h->n);
	put_ms(w, "min", (double)h->min_us);
	put_ms(w, "mean", h->n ? (double)h->sum_us / (double)h->n : 0);
	put_ms(w, "p50", (double)histogram_percentile_us(h, 50));
	put_ms(w, "p90", (double)histogram_percentile_us(h, 90));
	put_ms(w, "p99", (double)histogram_percentile_us(h, 99));
	put_ms(w, "p999", (double)histogram_percentile_us(h, 99.9));
	put_ms(w, "max", (double)h->max_us);
	json_close(w, '}');
}
