/* Parsing and reading: the only file that knows json-c. */
#include "base/json.h"

#include <json-c/json.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"

enum { SLICE_BYTES = 64 * 1024 };

const struct json_caps JSON_CAPS_USER = {.max_depth = 32, .max_nodes = 100000};
const struct json_caps JSON_CAPS_PROVIDER = {.max_depth = JSON_PROVIDER_DEPTH, .max_nodes = 100000, .allow_nul = true};
const struct json_caps JSON_CAPS_IMPORT = {.max_depth = 32, .max_nodes = 400000};

static const struct json_object *object_of(const struct json *j)
{
	return (const struct json_object *)(const void *)j;
}

/* json-c's readers take pointers to non-const, though they only read. */
static struct json_object *mutable_of(const struct json *j)
{
	union {
		const struct json_object *in;
		struct json_object *out;
	} u = {.in = object_of(j)};

	return u.out;
}

/* Is text[i], a backslash inside a string, the start of \u0000? */
static bool nul_escape(struct str text, size_t i)
{
	return str_starts(str_skip(text, i), STR("\\u0000"));
}

static size_t n_digits(struct str s)
{
	size_t n = 0;

	while (n < s.len && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	return n;
}

/* json-c itself would take 00, 1. and -.5. */
size_t json_number_len(struct str s)
{
	struct str rest = str_skip(s, s.len > 0 && s.p[0] == '-');
	size_t n = n_digits(rest);

	if (n == 0 || (n > 1 && rest.p[0] == '0'))
		return 0;
	rest = str_skip(rest, n);
	if (rest.len > 0 && rest.p[0] == '.') {
		n = n_digits(str_skip(rest, 1));
		if (n == 0)
			return 0;
		rest = str_skip(rest, n + 1);
	}
	if (rest.len > 0 && (rest.p[0] == 'e' || rest.p[0] == 'E')) {
		rest = str_skip(rest, 1);
		rest = str_skip(rest, rest.len > 0 && (rest.p[0] == '+' || rest.p[0] == '-'));
		n = n_digits(rest);
		if (n == 0)
			return 0;
		rest = str_skip(rest, n);
	}
	return s.len - rest.len;
}

/* Walks over the text once without building anything: json-c takes 0.8 s and 500 MB for 10 MiB of brackets. */
static const char *check_caps(struct str text, const struct json_caps *caps)
{
	size_t depth = 0, n_nodes = 1;
	bool in_string = false;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.p[i];

		if (in_string) {
			if (c == '\\') {
				if (!caps->allow_nul && nul_escape(text, i))
					return "The body contains \\u0000, which cannot be stored.";
				i++;
			} else if (c == '"') {
				in_string = false;
			} else if ((unsigned char)c < 0x20) {
				return "A string holds a control character that must be escaped.";
			}
			continue;
		}
		switch (c) {
		case '"': in_string = true; break;
		case '[':
		case '{':
			if (++depth > caps->max_depth)
				return "The JSON is nested too deeply.";
			n_nodes++;
			break;
		case ']':
		case '}': depth -= depth > 0; break;
		case ',': n_nodes++; break;
		case '\0': return "The body contains a NUL byte.";
		case '/':  /* json-c would take comments, */
		case '\'': /* keys in single quotes, which could hide anything from this walk, */
		case 'I':  /* Infinity */
		case 'N': /* and NaN */ return "The body is not valid JSON.";
		default:
			if (c == '-' || (c >= '0' && c <= '9')) {
				size_t n = json_number_len(str_skip(text, i));

				if (n == 0)
					return "The body is not valid JSON.";
				i += n - 1;
			}
			break;
		}
		if (n_nodes > caps->max_nodes)
			return caps->max_nodes == JSON_CAPS_IMPORT.max_nodes ? "The JSON has too many values (at most 400000)."
									     : "The JSON has too many values (at most 100000).";
	}
	return NULL;
}

int json_parser_init(struct json_parser *p, struct str text, const struct json_caps *caps, const char **why)
{
	*p = (struct json_parser){.text = text};
	if (!utf8_valid(text))
		*why = "The body is not valid UTF-8.";
	else
		*why = check_caps(text, caps);
	if (*why)
		return -ERR_MALFORMED_JSON;
	p->tokener = json_tokener_new_ex((int)caps->max_depth + 1);
	json_tokener_set_flags(p->tokener, JSON_TOKENER_STRICT);
	return 0;
}

int json_parser_step(struct json_parser *p, struct json **out, const char **why)
{
	struct str slice = str_skip(p->text, p->at);
	struct json_object *value;

	if (slice.len > SLICE_BYTES)
		slice.len = SLICE_BYTES;
	value = json_tokener_parse_ex(p->tokener, slice.p, (int)slice.len);
	p->at += slice.len;
	if (json_tokener_get_error(p->tokener) == json_tokener_continue) {
		if (p->at < p->text.len)
			return 0;
		value = json_tokener_parse_ex(p->tokener, "", 1); /* the end: a number only ends here */
	} else if (json_tokener_get_error(p->tokener) == json_tokener_success && p->at < p->text.len) {
		/* A whole value, then another slice: only blanks may follow. */
		struct str rest = str_skip(p->text, p->at);

		for (size_t i = 0; i < rest.len; i++)
			if (!strchr(" \t\r\n", rest.p[i]))
				goto bad;
	}
	if (json_tokener_get_error(p->tokener) != json_tokener_success)
		goto bad;
	*out = (struct json *)(void *)value;
	return 1;
bad:
	json_object_put(value);
	*why = "The body is not valid JSON.";
	return -ERR_MALFORMED_JSON;
}

void json_parser_fini(struct json_parser *p)
{
	if (p->tokener)
		json_tokener_free(p->tokener);
	p->tokener = NULL;
}

int json_parse(struct str text, const struct json_caps *caps, struct json **out, const char **why)
{
	struct json_parser p;
	int result = json_parser_init(&p, text, caps, why);

	*out = NULL;
	while (result == 0)
		result = json_parser_step(&p, out, why);
	json_parser_fini(&p);
	return result < 0 ? result : 0;
}

void json_free(struct json *j)
{
	json_object_put(mutable_of(j));
}

enum json_kind json_kind(const struct json *j)
{
	switch (json_object_get_type(object_of(j))) {
	case json_type_boolean: return JSON_BOOL;
	case json_type_int: return JSON_INT;
	case json_type_double: return JSON_NUMBER;
	case json_type_string: return JSON_STRING;
	case json_type_array: return JSON_ARRAY;
	case json_type_object: return JSON_OBJECT;
	default: return JSON_NULL;
	}
}

const struct json *json_get(const struct json *j, const char *key)
{
	struct json_object *member;

	if (json_kind(j) != JSON_OBJECT || !json_object_object_get_ex(mutable_of(j), key, &member))
		return NULL;
	return (const struct json *)(const void *)member;
}

bool json_has(const struct json *j, const char *key)
{
	return json_kind(j) == JSON_OBJECT && json_object_object_get_ex(mutable_of(j), key, NULL);
}

void json_each(const struct json *object, void (*each)(void *arg, const char *key, const struct json *value), void *arg)
{
	struct json_object_iterator at, end;

	if (json_kind(object) != JSON_OBJECT)
		return;
	end = json_object_iter_end(object_of(object));
	for (at = json_object_iter_begin(mutable_of(object)); !json_object_iter_equal(&at, &end); json_object_iter_next(&at))
		each(arg, json_object_iter_peek_name(&at), (const struct json *)(const void *)json_object_iter_peek_value(&at));
}

struct str json_as_str(const struct json *j)
{
	if (json_kind(j) != JSON_STRING)
		return (struct str){"", 0};
	return (struct str){json_object_get_string(mutable_of(j)), (size_t)json_object_get_string_len(object_of(j))};
}

int64_t json_as_int(const struct json *j, int64_t otherwise)
{
	return json_kind(j) == JSON_INT ? json_object_get_int64(object_of(j)) : otherwise;
}

bool json_as_bool(const struct json *j, bool otherwise)
{
	return json_kind(j) == JSON_BOOL ? json_object_get_boolean(object_of(j)) : otherwise;
}

size_t json_len(const struct json *array)
{
	return json_kind(array) == JSON_ARRAY ? json_object_array_length(object_of(array)) : 0;
}

const struct json *json_at(const struct json *array, size_t i)
{
	if (i >= json_len(array)) /* json-c would abort on what is no array */
		return NULL;
	return (const struct json *)(const void *)json_object_array_get_idx(object_of(array), i);
}

struct str json_text(const struct json *j)
{
	size_t len;
	const char *p = json_object_to_json_string_length(mutable_of(j), JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

	return (struct str){p, len};
}

bool json_list_has(struct str list, struct str text)
{
	struct json *j;
	const char *why;
	bool found = false;

	if (json_parse(list, &JSON_CAPS_USER, &j, &why) != 0)
		return false;
	for (size_t i = 0; i < json_len(j) && !found; i++)
		found = str_eq(json_as_str(json_at(j, i)), text);
	json_free(j);
	return found;
}

bool json_complain(struct json_complaint *complaint, const char *field, const char *fmt, ...)
{
	va_list args;

	snprintf(complaint->field, sizeof(complaint->field), "%s", field);
	va_start(args, fmt);
	vsnprintf(complaint->sentence, sizeof(complaint->sentence), fmt, args);
	va_end(args);
	return false;
}

/* Finds a member; false with a complaint if it is required and absent. */
static bool find(const struct json *obj, const char *field, bool required, const struct json **out, struct json_complaint *complaint)
{
	*out = json_get(obj, field);
	if (!*out && required)
		return json_complain(complaint, field, "%s is required.", field);
	return true;
}

bool json_read_str(const struct json *obj, const char *field, bool required, size_t min, size_t max, struct str *out,
		   struct json_complaint *complaint)
{
	const struct json *j;
	struct str s;
	size_t n;

	if (!find(obj, field, required, &j, complaint))
		return false;
	if (!j)
		return true;
	s = json_as_str(j);
	n = utf8_count(s);
	if (json_kind(j) != JSON_STRING)
		return json_complain(complaint, field, "%s must be a string.", field);
	if (n < min || n > max)
		return json_complain(complaint, field, "%s must have %zu to %zu characters; it has %zu.", field, min, max, n);
	*out = s;
	return true;
}

bool json_read_int(const struct json *obj, const char *field, bool required, int64_t min, int64_t max, int64_t *out,
		   struct json_complaint *complaint)
{
	const struct json *j;
	int64_t n;

	if (!find(obj, field, required, &j, complaint))
		return false;
	if (!j)
		return true;
	n = json_as_int(j, 0);
	if (json_kind(j) != JSON_INT || n < min || n > max)
		return json_complain(complaint, field, "%s must be a whole number from %lld to %lld.", field, (long long)min,
				     (long long)max);
	*out = n;
	return true;
}

bool json_read_number(const struct json *obj, const char *field, bool required, double min, double max, double *out,
		      struct json_complaint *complaint)
{
	const struct json *j;
	double d;

	if (!find(obj, field, required, &j, complaint))
		return false;
	if (!j)
		return true;
	d = json_object_get_double(object_of(j));
	if ((json_kind(j) != JSON_INT && json_kind(j) != JSON_NUMBER) || !(d >= min && d <= max))
		return json_complain(complaint, field, "%s must be a number from %g to %g.", field, min, max);
	*out = d;
	return true;
}

bool json_read_bool(const struct json *obj, const char *field, bool *out, struct json_complaint *complaint)
{
	const struct json *j = json_get(obj, field);

	if (!j)
		return true;
	if (json_kind(j) != JSON_BOOL)
		return json_complain(complaint, field, "%s must be true or false.", field);
	*out = json_as_bool(j, false);
	return true;
}
