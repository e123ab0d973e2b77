/* The record codec. */
#include "fcgi/record.h"

enum { VERSION = 1, ROLE_RESPONDER = 1, FLAG_KEEP_CONN = 1, BEGIN_BODY_BYTES = 8 };

void record_header(unsigned char out[RECORD_HEADER_BYTES], enum record_type type, uint16_t id, uint16_t len)
{
	out[0] = VERSION;
	out[1] = (unsigned char)type;
	out[2] = (unsigned char)(id >> 8);
	out[3] = (unsigned char)id;
	out[4] = (unsigned char)(len >> 8);
	out[5] = (unsigned char)len;
	out[6] = 0;
	out[7] = 0;
}

void record_end(unsigned char out[RECORD_END_BYTES], uint16_t id, enum record_protocol_status status)
{
	memset(out, 0, RECORD_END_BYTES);
	record_header(out, RECORD_END, id, RECORD_END_BYTES - RECORD_HEADER_BYTES);
	out[RECORD_HEADER_BYTES + 4] = (unsigned char)status;
}

static enum scan_result bad(const char **why, const char *word)
{
	*why = word;
	return SCAN_BAD;
}

static enum scan_result take_begin(struct record_scan *scan, uint16_t id, struct str content, const char **why)
{
	const unsigned char *p = (const unsigned char *)content.p;

	if (content.len < BEGIN_BODY_BYTES)
		return bad(why, "begin_too_short");
	scan->id = id;
	scan->keep_conn = p[2] & FLAG_KEEP_CONN;
	if ((p[0] << 8 | p[1]) != ROLE_RESPONDER)
		return SCAN_BAD_ROLE;
	scan->state = SCAN_PARAMS;
	return SCAN_MORE;
}

static enum scan_result take_params(struct record_scan *scan, struct str content, const char **why)
{
	if (content.len == 0) {
		scan->state = SCAN_STDIN;
		return SCAN_MORE;
	}
	if (scan->params.len + content.len > RECORD_MAX_PARAMS)
		return bad(why, "params_too_large");
	buf_add_str(&scan->params, content);
	return SCAN_MORE;
}

static enum scan_result take_stdin(struct record_scan *scan, struct str content)
{
	if (content.len == 0) {
		scan->state = SCAN_DONE;
		return SCAN_COMPLETE;
	}
	if (scan->body.len + content.len > scan->max_body) {
		scan->body_too_large = true;
		buf_fini(&scan->body);
	}
	if (!scan->body_too_large)
		buf_add_str(&scan->body, content);
	return SCAN_MORE;
}

static enum scan_result take_record(struct record_scan *scan, unsigned type, uint16_t id, struct str content, const char **why)
{
	if (id == 0)
		return bad(why, "management_record"); /* libfcgi overflows a buffer on those; no web server needs them */
	if (scan->state == SCAN_BEGIN)
		return type == RECORD_BEGIN ? take_begin(scan, id, content, why) : bad(why, "begin_expected");
	if (id != scan->id)
		return bad(why, "multiplexed");
	if (type == RECORD_ABORT)
		return SCAN_ABORTED;
	if (type == RECORD_PARAMS && scan->state == SCAN_PARAMS)
		return take_params(scan, content, why);
	if (type == RECORD_STDIN && scan->state == SCAN_STDIN)
		return take_stdin(scan, content);
	return bad(why, "record_out_of_order");
}

enum scan_result record_scan(struct record_scan *scan, struct str bytes, size_t *used, const char **why)
{
	*used = 0;
	for (;;) {
		struct str rest = str_skip(bytes, *used);
		const unsigned char *p = (const unsigned char *)rest.p;
		enum scan_result result;
		struct str content;
		size_t whole;

		if (rest.len == 0)
			return SCAN_MORE;
		if (p[0] != VERSION)
			return bad(why, "not_fastcgi");
		if (rest.len < RECORD_HEADER_BYTES)
			return SCAN_MORE;
		content = (struct str){rest.p + RECORD_HEADER_BYTES, (size_t)(p[4] << 8 | p[5])};
		whole = RECORD_HEADER_BYTES + content.len + p[6];
		if (rest.len < whole)
			return SCAN_MORE;
		*used += whole;
		result = take_record(scan, p[1], (uint16_t)(p[2] << 8 | p[3]), content, why);
		if (result != SCAN_MORE)
			return result;
	}
}

void record_scan_reset(struct record_scan *scan)
{
	size_t max_body = scan->max_body;

	buf_fini(&scan->params);
	buf_fini(&scan->body);
	*scan = (struct record_scan){.max_body = max_body};
}

/* Reads a length of one or four bytes (section 3.4); false at the end of the text. */
static bool take_length(struct str *rest, size_t *len)
{
	const unsigned char *p = (const unsigned char *)rest->p;

	if (rest->len >= 1 && !(p[0] & 0x80)) {
		*len = p[0];
		*rest = str_skip(*rest, 1);
		return true;
	}
	if (rest->len < 4)
		return false;
	*len = (size_t)(p[0] & 0x7F) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	*rest = str_skip(*rest, 4);
	return true;
}

bool record_params_valid(struct str params, size_t *n)
{
	for (*n = 0; params.len > 0; (*n)++) {
		size_t name_len, value_len;

		if (!take_length(&params, &name_len) || !take_length(&params, &value_len) || name_len + value_len > params.len)
			return false;
		params = str_skip(params, name_len + value_len);
	}
	return true;
}
