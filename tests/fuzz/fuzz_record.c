/* Fuzzes the record scanner: whole and in two pieces must come to the same, and what it collects stays within the caps. */
#include <assert.h>
#include <stdlib.h>

#include "fcgi/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Scans until nothing more is taken; the last result. */
static enum scan_result scan_all(struct record_scan *scan, struct str bytes, size_t *used)
{
	enum scan_result result = SCAN_MORE;
	const char *why;

	*used = 0;
	while (result == SCAN_MORE) {
		size_t n;

		result = record_scan(scan, str_skip(bytes, *used), &n, &why);
		*used += n;
		if (n == 0)
			break;
	}
	assert(*used <= bytes.len);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str bytes = {(const char *)data, size};
	struct record_scan whole = {.max_body = 4096}, cut = {.max_body = 4096};
	size_t used_whole, used_first, used_second = 0, half = size ? data[0] % (size + 1) : 0;
	enum scan_result first, result = scan_all(&whole, bytes, &used_whole);

	first = scan_all(&cut, (struct str){bytes.p, half}, &used_first);
	if (first == SCAN_MORE)
		first = scan_all(&cut, str_skip(bytes, used_first), &used_second);
	assert(first == result && whole.state == cut.state);
	assert(whole.body.len == cut.body.len && whole.body.len <= 4096 && whole.params.len <= RECORD_MAX_PARAMS);
	record_scan_reset(&whole);
	record_scan_reset(&cut);
	return 0;
}
