/* The common parts of requests. Parts come once a question: they go through json-c. */
#include "llm/body.h"

void body_add_header(struct http_post *out, const char *header)
{
	((const char **)out->headers)[out->n_headers++] = header;
}

void body_headers(const struct llm_request *in, struct arena *arena, struct http_post *out, enum body_key key)
{
	static const char *const names[] = {[BODY_BEARER] = "Authorization: Bearer", [BODY_X_API_KEY] = "x-api-key:"};

	*out = (struct http_post){
		.url = in->endpoint,
		.headers = arena_alloc(arena, PROVIDER_MAX_HEADERS * sizeof(*out->headers)),
		.connect_ms = (uint64_t)in->timeouts.connect_ms,
	};
	body_add_header(out, "Content-Type: application/json");
	body_add_header(out, "Accept: text/event-stream");
	body_add_header(out, arena_printf(arena, "X-Request-Id: %s", in->log->request_id).p);
	if (in->api_key && *in->api_key)
		body_add_header(out, arena_printf(arena, "%s %s", names[key], in->api_key).p);
}

void body_put_message(struct json_writer *w, const struct llm_message *m)
{
	json_open(w, '{');
	json_add_str(w, "role", m->role);
	json_key(w, "content");
	if (m->parts.len)
		json_put_raw(w, m->parts);
	else if (m->no_content)
		json_put_null(w);
	else
		json_put_str(w, m->content);
	if (m->extra.len)
		json_put_raw(w, m->extra);
	json_close(w, '}');
}

struct json *body_parts(struct str parts)
{
	struct json *j;
	const char *why;

	if (!parts.len || json_parse(parts, &JSON_CAPS_PROVIDER, &j, &why) != 0)
		return NULL;
	return j;
}

struct str body_image_url(const struct json *part)
{
	const struct json *image = json_get(part, "image_url");

	if (!str_eq(json_as_str(json_get(part, "type")), STR("image_url")))
		return STR("");
	return json_as_str(json_kind(image) == JSON_OBJECT ? json_get(image, "url") : image);
}

bool body_data_url(struct str url, struct str *type, struct str *data)
{
	struct str rest = url;

	if (!str_starts(url, STR("data:")))
		return false;
	rest = str_skip(rest, 5);
	*type = str_cut(&rest, ';');
	if (!str_starts(rest, STR("base64,")) || type->len == 0)
		return false;
	*data = str_skip(rest, 7);
	return data->len > 0;
}

bool body_is_web(struct str url)
{
	return str_starts(url, STR("https://")) || str_starts(url, STR("http://"));
}

struct str body_no_form(const struct json *part, struct arena *arena)
{
	struct str type = json_as_str(json_get(part, "type"));

	type.len = utf8_prefix(type, 32);
	return arena_printf(arena, "takes no parts of the type \"%.*s\"", STR_ARG(type));
}
