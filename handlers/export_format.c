/* JSON, CSV and Markdown. */
#include "handlers/export_format.h"

#include <stdio.h>

#include "db/messages.h"
#include "handlers/session_json.h"

enum { MAX_NAME_CHARS = 60, SHORT_ID = 8 };

static const struct {
	const char *name, *ending, *media_type;
} formats[N_EXPORT_FORMATS] = {
	[EXPORT_JSON] = {"json", "json", "application/json; charset=utf-8"},
	[EXPORT_CSV] = {"csv", "csv", "text/csv; charset=utf-8"},
	[EXPORT_MARKDOWN] = {"markdown", "md", "text/markdown; charset=utf-8"},
};

bool export_format_named(struct str name, enum export_format *format)
{
	for (size_t i = 0; i < N_EXPORT_FORMATS; i++) {
		if (!str_eq_cstr(name, formats[i].name))
			continue;
		*format = (enum export_format)i;
		return true;
	}
	return false;
}

const char *export_media_type(enum export_format format)
{
	return formats[format].media_type;
}

/* ---- CSV ---- */

/* = + - @, tab, CR and LF, and the wide forms of the first four, which a Chinese or Japanese spreadsheet takes for the same. */
static bool begins_a_formula(struct str s)
{
	static const struct str wide[] = {{"\xEF\xBC\x9D", 3}, {"\xEF\xBC\x8B", 3}, {"\xEF\xBC\x8D", 3}, {"\xEF\xBC\xA0", 3}};

	if (s.len && str_only((struct str){s.p, 1}, STR("=+-@\t\r\n")))
		return true;
	for (size_t i = 0; i < N_ELEMENTS(wide); i++)
		if (str_starts(s, wide[i]))
			return true;
	return false;
}

void export_csv_cell(struct buf *out, struct str text)
{
	size_t start = 0;

	buf_add_char(out, '"');
	if (begins_a_formula(text))
		buf_add_char(out, '\'');
	for (size_t i = 0; i < text.len; i++) {
		if (text.p[i] != '"')
			continue;
		buf_add(out, text.p + start, i + 1 - start);
		start = i; /* the quote once more */
	}
	buf_add_str(out, str_skip(text, start));
	buf_add_char(out, '"');
}

static void csv_row(struct buf *out, const struct message_row *m)
{
	const struct str cells[] = {m->id,     m->parent_id, m->created_at, m->role,   m->content,
				    m->status, m->agent_id,  m->model,      m->rating, m->comment};

	for (size_t i = 0; i < N_ELEMENTS(cells); i++) {
		if (i)
			buf_add_char(out, ',');
		export_csv_cell(out, cells[i]);
	}
	if (m->has_usage)
		buf_printf(out, ",%lld,%lld,%lld\r\n", (long long)m->prompt_tokens, (long long)m->completion_tokens,
			   (long long)m->total_tokens);
	else
		buf_add_str(out, STR(",,,\r\n"));
}

/* ---- Markdown ---- */

static void markdown_message(struct buf *out, const struct message_row *m)
{
	buf_printf(out, "## %s · %.*s",
		   str_eq(m->role, STR("user"))        ? "User"
		   : str_eq(m->role, STR("assistant")) ? "Assistant"
						       : "System",
		   STR_ARG(m->created_at));
	if (m->n_answers > 1)
		buf_printf(out, " · %lld/%lld", (long long)m->answer_place, (long long)m->n_answers);
	if (m->role.len && !str_eq(m->status, STR("complete")))
		buf_printf(out, " · %.*s", STR_ARG(m->status));
	buf_add_str(out, STR("\n\n"));
	buf_add_str(out, m->content);
	buf_add_str(out, STR("\n\n"));
}

/* ---- all ---- */

void export_begin(struct buf *out, enum export_format format, const struct session_row *session, const char *exported_at)
{
	struct json_writer w = {.out = out};

	switch (format) {
	case EXPORT_JSON:
		json_open(&w, '{');
		json_key(&w, "session");
		put_session(&w, session);
		json_add_cstr(&w, "exportedAt", exported_at);
		json_key(&w, "messages");
		json_open(&w, '[');
		break;
	case EXPORT_CSV: /* the mark tells spreadsheets that it is UTF-8 */
		buf_add_str(out, STR("\xEF\xBB\xBF"
				     "id,parentId,createdAt,role,content,status,agentId,model,rating,comment,promptTokens,completionTokens,"
				     "totalTokens\r\n"));
		break;
	default:
		buf_printf(out, "# %.*s\n\n- chatId: %.*s\n- agent: %.*s\n- exported: %s\n\n", STR_ARG(session->title),
			   STR_ARG(session->chat_id), STR_ARG(session->agent_id), exported_at);
	}
}

void export_message(struct buf *out, enum export_format format, const struct message_row *m, bool first)
{
	struct json_writer w = {.out = out, .comma = !first};

	switch (format) {
	case EXPORT_JSON: put_message(&w, m); break;
	case EXPORT_CSV: csv_row(out, m); break;
	default: markdown_message(out, m);
	}
}

void export_end(struct buf *out, enum export_format format)
{
	if (format == EXPORT_JSON)
		buf_add_str(out, STR("]}\n"));
}

/* ---- the file's name ---- */

/* U+200E, U+200F, U+2028 to U+202E, U+2066 to U+2069: marks that turn the direction of writing, and ends of lines. */
static bool is_mark(const unsigned char *p)
{
	if (p[0] != 0xE2 || (p[1] != 0x80 && p[1] != 0x81))
		return false;
	return p[1] == 0x80 ? p[2] == 0x8E || p[2] == 0x8F || (p[2] >= 0xA8 && p[2] <= 0xAE) : p[2] >= 0xA6 && p[2] <= 0xA9;
}

/* May the character that begins at p, n bytes long, be in a file's name? No control characters, no marks, nothing that Windows or a shell
 * takes for more than a letter. */
static bool fits_name(const char *p, size_t n)
{
	const unsigned char *bytes = (const unsigned char *)p;

	if (n == 1)
		return bytes[0] >= 0x20 && bytes[0] != 0x7f && !strchr("/\\:*?\"<>|%;'`$", *p);
	if (n == 2)
		return bytes[0] != 0xC2 || bytes[1] >= 0xA0;
	return n != 3 || !is_mark(bytes);
}

static void add_percent(struct buf *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (str_only((struct str){s.p + i, 1}, STR(NAME_CHARS)))
			buf_add_char(out, s.p[i]);
		else
			buf_printf(out, "%%%02X", (unsigned char)s.p[i]);
	}
}

void export_disposition(struct buf *out, enum export_format format, struct str title, struct str id)
{
	struct str rest = {title.p, utf8_prefix(title, MAX_NAME_CHARS)}, name;
	struct buf clean = {0};

	while (rest.len) {
		size_t n = utf8_prefix(rest, 1);

		if (fits_name(rest.p, n))
			buf_add(&clean, rest.p, n);
		rest = str_skip(rest, n);
	}
	name = str_trim(buf_str(&clean));
	while (name.len && name.p[0] == '.')
		name = str_skip(name, 1);
	buf_printf(out, "Content-Disposition: attachment; filename=\"llmchat-%.*s.%s\"", SHORT_ID, id.len >= SHORT_ID ? id.p : "sessions",
		   formats[format].ending);
	if (name.len) {
		buf_add_str(out, STR("; filename*=UTF-8''"));
		add_percent(out, name);
		buf_printf(out, ".%s", formats[format].ending);
	}
	buf_add_str(out, STR("\r\n"));
	buf_fini(&clean);
}
