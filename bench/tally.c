/* The report of a run. */
#include "bench/tally.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/json.h"

static const char *const fault_names[N_FAULTS] = {
	[FAULT_CONNECT] = "connect", [FAULT_RESET] = "reset",       [FAULT_TIMEOUT] = "timeout",
	[FAULT_STATUS] = "status",   [FAULT_HTTP] = "http",         [FAULT_ORDER] = "order",
	[FAULT_TEXT] = "text",       [FAULT_ERROR] = "error_event", [FAULT_ENVELOPE] = "envelope",
};

void tally_fault(struct tally *t, enum fault fault, const char *fmt, ...)
{
	va_list args;

	t->n_failed++;
	t->n_of_fault[fault]++;
	if (t->n_samples == N_SAMPLES)
		return;
	va_start(args, fmt);
	vsnprintf(t->samples[t->n_samples++], SAMPLE_SIZE, fmt, args);
	va_end(args);
}

static void put_counts(const struct tally *t, struct json_writer *w)
{
	char status[12];

	json_key(w, "statuses");
	json_open(w, '{');
	for (int i = 0; i < N_STATUSES; i++) {
		snprintf(status, sizeof(status), "%d", i);
		if (t->n_of_status[i])
			json_add_int(w, status, (int64_t)t->n_of_status[i]);
	}
	json_close(w, '}');
	json_key(w, "faults");
	json_open(w, '{');
	for (int i = 0; i < N_FAULTS; i++)
		if (t->n_of_fault[i])
			json_add_int(w, fault_names[i], (int64_t)t->n_of_fault[i]);
	json_close(w, '}');
	json_key(w, "samples");
	json_open(w, '[');
	for (size_t i = 0; i < t->n_samples; i++) {
		struct str s = str_from(t->samples[i]);

		/* A sample may have been cut in the middle of a character, or quote bytes that never were one. */
		json_put_str(w, utf8_valid(s) ? s : STR("(bytes that are no UTF-8)"));
	}
	json_close(w, ']');
}

/* What the load generator itself took: it shares the machine with what it measures. */
static void put_own(const struct tally *t, struct json_writer *w)
{
	struct rusage usage = {0};
	double cpu_s;

	getrusage(RUSAGE_SELF, &usage);
	cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	json_key(w, "own");
	json_open(w, '{');
	json_key(w, "cpu_s");
	json_put_number(w, cpu_s);
	json_key(w, "cpu_us_per_event");
	json_put_number(w, t->n_events ? cpu_s * 1e6 / (double)t->n_events : 0);
	histogram_put(&t->turn, w, "turn_ms");
	json_close(w, '}');
}

void tally_print(const struct tally *t, const struct options *o)
{
	static const char *const modes[] = {[MODE_STREAMS] = "streams", [MODE_PLAIN] = "plain", [MODE_GET] = "get", [MODE_WRONG] = "wrong"};
	struct buf out = {0};
	struct json_writer w = {.out = &out};
	double measured_s = (double)(o->duration_us - (o->warmup_us < o->duration_us ? o->warmup_us : 0)) / 1e6;

	json_open(&w, '{');
	json_add_cstr(&w, "mode", modes[o->mode]);
	json_add_cstr(&w, "kind", o->plan.kind == CHECK_OPENAI ? "openai" : "llmchat");
	json_add_int(&w, "n", (int64_t)o->n);
	json_add_int(&w, "asked", (int64_t)t->n_asked);
	json_add_int(&w, "completed", (int64_t)t->n_completed);
	json_add_int(&w, "failed", (int64_t)t->n_failed);
	json_add_int(&w, "left", (int64_t)t->n_left);
	json_add_int(&w, "unfinished", (int64_t)t->n_unfinished);
	json_add_int(&w, "tokens", (int64_t)t->n_tokens);
	json_add_int(&w, "events", (int64_t)t->n_events);
	json_add_int(&w, "pings", (int64_t)t->n_pings);
	json_add_int(&w, "bytes", (int64_t)t->n_bytes);
	json_add_int(&w, "connections", (int64_t)t->n_connections);
	json_add_int(&w, "peak_open", (int64_t)t->peak_open);
	json_key(&w, "seconds");
	json_put_number(&w, (double)(t->ended_us - t->began_us) / 1e6);
	json_key(&w, "per_second");
	if (o->duration_us)
		json_put_number(&w, measured_s > 0 ? (double)t->n_measured / measured_s : 0);
	else
		json_put_null(&w);
	histogram_put(&t->connect, &w, "connect_ms");
	histogram_put(&t->first, &w, "first_ms");
	histogram_put(&t->gap, &w, "gap_ms");
	histogram_put(&t->whole, &w, "whole_ms");
	put_counts(t, &w);
	put_own(t, &w);
	json_close(&w, '}');
	buf_add_char(&out, '\n');
	fwrite(out.p, 1, out.len, stdout);
	fflush(stdout);
	buf_fini(&out);
}
