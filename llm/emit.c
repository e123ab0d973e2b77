/* Normalised events from what json_scan has found. Buffers are shared: they are used during a call only. */
#include "llm/emit.h"

enum { KEEP_BYTES = 64 * 1024 };

static void drop_if_large(struct buf *b)
{
	if (b->size > KEEP_BYTES)
		buf_fini(b);
}

void emit_text(struct llm_sink sink, enum llm_event_type type, struct str text)
{
	if (text.len)
		sink.emit(sink.arg, &(struct llm_event){.type = type, .text = text});
}

void emit_found(struct llm_sink sink, enum llm_event_type type, const struct json_found *f)
{
	static struct buf scratch;

	emit_text(sink, type, json_found_str(f, &scratch));
	drop_if_large(&scratch);
}

void emit_replace(struct llm_sink sink, const struct json_found *f)
{
	static struct buf scratch;

	if (f->kind == JSON_STRING)
		sink.emit(sink.arg, &(struct llm_event){.type = LLM_REPLACE, .text = json_found_str(f, &scratch)});
	drop_if_large(&scratch);
}

void emit_json(struct llm_sink sink, enum llm_event_type type, const struct json_found *f, enum json_kind kind)
{
	struct json *j;
	const char *why;

	if (f->kind != kind || json_parse(f->raw, &JSON_CAPS_PROVIDER, &j, &why) != 0)
		return;
	if (kind != JSON_ARRAY || json_len(j))
		emit_text(sink, type, json_text(j));
	json_free(j);
}

int64_t emit_tokens(const struct json_found *f, int64_t otherwise)
{
	int64_t n = json_found_int(f, otherwise);

	return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : n;
}

/* A string as it was written: its escapes are still good. */
static void add_raw(struct json_writer *w, const char *key, const struct json_found *f)
{
	if (!f || f->kind != JSON_STRING)
		return;
	json_key(w, key);
	buf_add_char(w->out, '"');
	buf_add_str(w->out, f->raw);
	buf_add_char(w->out, '"');
	w->comma = true;
}

void emit_tool(struct llm_sink sink, unsigned index, const struct json_found *id, const struct json_found *name,
	       const struct json_found *arguments)
{
	static struct buf made;
	struct json_writer w = {.out = &made};

	made.len = 0;
	json_open(&w, '[');
	json_open(&w, '{');
	json_add_int(&w, "index", index);
	add_raw(&w, "id", id);
	if (name)
		json_add_cstr(&w, "type", "function");
	json_key(&w, "function");
	json_open(&w, '{');
	add_raw(&w, "name", name);
	if (arguments && arguments->kind == JSON_STRING)
		add_raw(&w, "arguments", arguments);
	else
		json_add_str(&w, "arguments", arguments && arguments->kind == JSON_OBJECT ? arguments->raw : STR(""));
	json_close(&w, '}');
	json_close(&w, '}');
	json_close(&w, ']');
	emit_text(sink, LLM_TOOL, buf_str(&made));
	drop_if_large(&made);
}

void emit_status(struct llm_sink sink, const char *type, struct str status, const struct json_found *module)
{
	static struct buf made;
	struct json_writer w = {.out = &made};

	made.len = 0;
	json_open(&w, '{');
	json_add_cstr(&w, "type", type);
	json_add_str(&w, "status", status);
	add_raw(&w, "moduleName", module);
	json_close(&w, '}');
	emit_text(sink, LLM_STATUS, buf_str(&made));
	drop_if_large(&made);
}

void emit_keep_id(char out[LLM_ID_SIZE], const struct json_found *f)
{
	if (f->kind != JSON_STRING || f->raw.len == 0 || f->raw.len >= LLM_ID_SIZE ||
	    !str_only(f->raw, STR("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-")))
		return;
	memcpy(out, f->raw.p, f->raw.len);
	out[f->raw.len] = '\0';
}
