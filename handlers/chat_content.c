/* Checking the content of a message, part by part. */
#include "handlers/chat_content.h"

#include "handlers/request.h"
#include "llm/provider.h"

bool chat_name_valid(struct str name)
{
	return str_only(name, STR(NAME_CHARS ":"));
}

/* One part of a content; what a text part says is added to text. */
static bool read_part(const struct json *part, size_t i, size_t j, struct buf *text, struct json_complaint *c)
{
	struct str type = json_as_str(json_get(part, "type"));

	if (json_kind(json_get(part, "type")) != JSON_STRING)
		return json_complain(c, "messages", "messages[%zu].content[%zu] must be an object with a type.", i, j);
	if (str_eq(type, STR("text")) && json_kind(json_get(part, "text")) != JSON_STRING)
		return json_complain(c, "messages", "messages[%zu].content[%zu].text must be a string.", i, j);
	buf_add_str(text, json_as_str(json_get(part, "text")));
	return true;
}

/* A list of parts goes upstream as it is; its text, one part after the other, is what is stored as the content. */
static bool read_parts(struct request *r, const struct json *parts, size_t i, struct llm_message *out, struct json_complaint *c)
{
	struct buf text = {0};
	bool good = true;

	for (size_t j = 0; j < json_len(parts) && good; j++)
		good = read_part(json_at(parts, j), i, j, &text, c);
	if (good && text.len > CHAT_MAX_CONTENT)
		good = json_complain(c, "messages", "messages[%zu].content has %zu bytes of text; at most %d are taken.", i, text.len,
				     (int)CHAT_MAX_CONTENT);
	if (good) {
		out->content = arena_copy(&r->question, buf_str(&text));
		out->parts = arena_copy(&r->question, json_text(parts));
	}
	buf_fini(&text);
	return good;
}

bool chat_content_read(struct request *r, const struct json *content, size_t i, size_t min, struct llm_message *out,
		       struct json_complaint *c)
{
	if (json_kind(content) == JSON_ARRAY && json_len(content) > 0)
		return read_parts(r, content, i, out, c);
	out->content = json_as_str(content);
	if (json_kind(content) != JSON_STRING || out->content.len < min)
		return json_complain(c, "messages", "messages[%zu].content must be a text%s, or a list of parts.", i,
				     min ? " that is not empty" : "");
	if (out->content.len > CHAT_MAX_CONTENT)
		return json_complain(c, "messages", "messages[%zu].content has %zu bytes; at most %d are taken.", i, out->content.len,
				     (int)CHAT_MAX_CONTENT);
	return true;
}
