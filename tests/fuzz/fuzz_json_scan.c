/* Fuzzes json_scan against json_parse: both take the same texts, and find the same at each path. */
#include <assert.h>

#include "base/json_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const paths[] = {
	"",       ".a",  ".b",  ".a.b", ".a.a",   ".a[0]", ".a[1]",   ".a[1].b",  ".a[0].b",
	".a.b.a", "[0]", "[1]", "[2]",  "[0][1]", "[1].a", "[1].b.a", "[0].a[1]", ".choices[0].delta.content",
	".usage",
};

/* The same path in a tree. */
static const struct json *look_up(const struct json *j, const char *path)
{
	while (*path) {
		char name[32] = "";
		size_t n = strcspn(path + 1, ".[");

		memcpy(name, path + 1, n);
		j = *path == '.' ? json_get(j, name) : json_at(j, (size_t)(name[0] - '0'));
		path += 1 + n;
	}
	return j;
}

static void compare(const struct json *j, const struct json_found *f, struct buf *scratch)
{
	struct json *again;
	const char *why;

	assert(f->kind == json_kind(j));
	if (f->kind == JSON_NULL)
		return;
	if (f->kind == JSON_STRING)
		assert(str_eq(json_found_str(f, scratch), json_as_str(j)));
	else
		assert(json_found_str(f, scratch).len == 0);
	assert(json_found_int(f, 7) == json_as_int(j, 7));
	if (f->kind == JSON_STRING)
		return;
	assert(json_parse(f->raw, &JSON_CAPS_PROVIDER, &again, &why) == 0);
	assert(str_eq(json_text(j), json_text(again)));
	json_free(again);
}

/* json-c ends a name at \u0000, and then takes different names for the same. */
static bool has_nul(struct str text)
{
	for (; text.len > 0; text = str_skip(text, 1))
		if (str_starts(text, STR("u0000")))
			return true;
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = {(const char *)data, size};
	struct json_found found[N_ELEMENTS(paths)];
	struct buf scratch = {0};
	struct json *j;
	const char *why;
	int err = json_parse(text, &JSON_CAPS_PROVIDER, &j, &why);

	assert(json_scan(text, paths, N_ELEMENTS(paths), found) == err);
	if (err == 0) {
		for (size_t i = 0; i < N_ELEMENTS(paths); i++)
			if (!has_nul(text) || j == NULL || json_kind(j) == JSON_STRING)
				compare(look_up(j, paths[i]), &found[i], &scratch);
		json_free(j);
	}
	buf_fini(&scratch);
	return 0;
}
