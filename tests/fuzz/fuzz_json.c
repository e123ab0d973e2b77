/* Fuzzes JSON: whatever is taken can be written out and is taken again, and text that is taken is UTF-8 without NUL. */
#include <assert.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size};
	struct json *j, *again;
	const char *why;
	struct buf out = {0};

	if (json_parse(text, &JSON_CAPS_USER, &j, &why) == 0) {
		assert(utf8_valid(text) && (size == 0 || !memchr(data, 0, size)));
		buf_add_str(&out, json_text(j));
		assert(json_parse(buf_str(&out), &JSON_CAPS_USER, &again, &why) == 0);
		json_free(again);
		json_free(j);
	}
	if (utf8_valid(text)) {
		out.len = 0;
		json_quote(&out, text);
		assert(json_parse(buf_str(&out), &JSON_CAPS_PROVIDER, &j, &why) == 0);
		assert(str_eq(json_as_str(j), text));
		json_free(j);
	}
	buf_fini(&out);
	return 0;
}
