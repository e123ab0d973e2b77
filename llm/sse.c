/* Server-sent events. A line that arrives whole is read where it lies; only cut ones are put together in sse->line. */
#include "llm/sse.h"

#include "base/err.h"

void sse_fini(struct sse *sse)
{
	buf_fini(&sse->line);
	buf_fini(&sse->data);
}

static void take_field(struct sse *sse, struct str name, struct str value)
{
	if (str_eq(name, STR("data"))) {
		if (sse->has_data)
			buf_add_char(&sse->data, '\n');
		buf_add_str(&sse->data, value);
		sse->has_data = true;
	} else if (str_eq(name, STR("event")) && value.len <= sizeof(sse->event)) {
		memcpy(sse->event, value.p, value.len);
		sse->event_len = value.len;
	}
}

/* False if the sink wants no more. */
static bool take_line(struct sse *sse, struct str line)
{
	struct str name;
	bool more = true;

	if (line.len == 0) {
		struct str event = {sse->event, sse->event_len};

		if (sse->has_data)
			more = sse->on_event(sse->arg, event, buf_str(&sse->data));
		sse->data.len = sse->event_len = 0;
		sse->has_data = false;
		return more;
	}
	if (line.p[0] == ':')
		return true; /* a comment */
	name = str_cut(&line, ':');
	if (line.len > 0 && line.p[0] == ' ')
		line = str_skip(line, 1);
	take_field(sse, name, line.p ? line : STR(""));
	return true;
}

/* Where the line ends, or len: whichever of CR and LF comes first. */
static size_t find_end(struct str s)
{
	const char *lf = memchr(s.p, '\n', s.len);
	size_t end = lf ? (size_t)(lf - s.p) : s.len;
	const char *cr = end ? memchr(s.p, '\r', end) : NULL;

	return cr ? (size_t)(cr - s.p) : end;
}

static struct str without_bom(struct sse *sse, struct str line)
{
	if (!sse->past_bom && str_starts(line, STR("\xEF\xBB\xBF")))
		line = str_skip(line, 3);
	sse->past_bom = true;
	return line;
}

int sse_feed(struct sse *sse, struct str bytes)
{
	while (bytes.len > 0) {
		size_t end;
		struct str line;
		bool more;

		if (sse->skip_lf && bytes.p[0] == '\n') /* the second half of CR LF */
			bytes = str_skip(bytes, 1);
		sse->skip_lf = false;
		if (bytes.len == 0)
			break;
		end = find_end(bytes);
		if (sse->line.len + sse->data.len + end > SSE_MAX_EVENT_BYTES)
			return -ERR_UPSTREAM;
		line = (struct str){bytes.p, end};
		if (sse->line.len > 0 || end == bytes.len) {
			buf_add_str(&sse->line, line);
			line = buf_str(&sse->line);
		}
		if (end == bytes.len)
			return 0;
		sse->skip_lf = bytes.p[end] == '\r';
		bytes = str_skip(bytes, end + 1);
		more = take_line(sse, without_bom(sse, line));
		sse->line.len = 0;
		if (!more)
			return 0;
	}
	return 0;
}
