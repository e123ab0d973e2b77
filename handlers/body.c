/* Reading a JSON body without holding up the loop. */
#include "handlers/body.h"

#include "fcgi/conn.h"
#include "handlers/request.h"
#include "handlers/router.h"

enum { MAX_BYTES = 1024 * 1024 }; /* of routes that take neither conversations nor imports */

static enum flow_next refuse_json(struct request *r, const char *why)
{
	return request_reject_because(r, ERR_MALFORMED_JSON, NULL, "%s", why);
}

static enum flow_next check(struct request *r, const struct json_caps *caps)
{
	struct str type = request_param(r, "CONTENT_TYPE"), kind = str_trim(str_cut(&type, ';'));
	const char *why;

	if (r->fcgi->overloaded)
		return request_reject(r, ERR_OVERLOADED);
	if (r->fcgi->body_too_large)
		return request_reject_because(r, ERR_TOO_LARGE, NULL, "The body is larger than 10 MiB.");
	if (r->fcgi->body.len > MAX_BYTES && !r->route->streams && caps != &JSON_CAPS_IMPORT)
		return request_reject_because(r, ERR_TOO_LARGE, NULL, "The body is larger than 1 MiB.");
	if (r->fcgi->body.len == 0)
		return refuse_json(r, "The body is empty; it must be a JSON object.");
	if (!str_eq_nocase(kind, STR("application/json")))
		return request_reject(r, ERR_MEDIA_TYPE);
	if (json_parser_init(&r->parser, r->fcgi->body, caps, &why) != 0)
		return refuse_json(r, why);
	return FLOW_AGAIN;
}

static enum flow_next read_body(struct request *r, const struct json_caps *caps)
{
	const char *why = "";
	int done;

	if (!r->parser.tokener) {
		enum flow_next next = check(r, caps);

		if (next != FLOW_AGAIN)
			return next;
	}
	done = json_parser_step(&r->parser, &r->body, &why);
	if (done == 0)
		return FLOW_AGAIN;
	json_parser_fini(&r->parser);
	fcgi_drop_body(r->fcgi);
	if (done < 0)
		return refuse_json(r, why);
	if (json_kind(r->body) != JSON_OBJECT)
		return refuse_json(r, "The body must be a JSON object.");
	return FLOW_NEXT;
}

enum flow_next body_start(struct request *r)
{
	return read_body(r, &JSON_CAPS_USER);
}

enum flow_next body_import_start(struct request *r)
{
	return read_body(r, &JSON_CAPS_IMPORT);
}
