/* Answering: headers, the envelope, refusals, event streams. */
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "fcgi/conn.h"
#include "handlers/cors.h"
#include "handlers/limit.h"
#include "handlers/owner.h"
#include "handlers/request.h"
#include "handlers/router.h"
#include "handlers/v1_error.h"

static const char *reason_phrase(int status)
{
	switch (status) {
	case 200: return "OK";
	case 201: return "Created";
	case 204: return "No Content";
	case 400: return "Bad Request";
	case 401: return "Unauthorized";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 408: return "Request Timeout";
	case 409: return "Conflict";
	case 413: return "Payload Too Large";
	case 415: return "Unsupported Media Type";
	case 423: return "Locked";
	case 429: return "Too Many Requests";
	case 502: return "Bad Gateway";
	case 503: return "Service Unavailable";
	case 504: return "Gateway Timeout";
	default: return "Internal Server Error";
	}
}

/* Headers that every answer has. content_type is NULL if it has no body. */
static void put_head(struct request *r, struct buf *out, int status, const char *content_type)
{
	uint64_t took_us = clock_mono_us() - r->began_us;

	r->status = status;
	buf_printf(out, "Status: %d %s\r\nX-Request-Id: %s\r\nX-LLMChat-Overhead-Us: %llu\r\n", status, reason_phrase(status),
		   r->request_id, (unsigned long long)(took_us > r->not_ours_us ? took_us - r->not_ours_us : 0));
	if (content_type)
		buf_printf(out, "Content-Type: %s\r\n", content_type);
	if (r->face == FACE_OPENAI)
		buf_printf(out, "OpenAI-Processing-Ms: %llu\r\n", (unsigned long long)(took_us / 1000));
	if (r->more_head)
		buf_add_cstr(out, r->more_head);
	limit_put_headers(r, out);
	owner_put_cookie(r, out);
	cors_put(r, out);
}

/* Sends the last bytes; the request is over. */
static enum flow_next finish(struct request *r, struct str bytes)
{
	fcgi_finish(r->fcgi, bytes);
	r->fcgi = NULL;
	/* nginx's access log has every request; this is for whoever looks closer. */
	log_debug(&r->log, "answered", "route", r->route ? r->route->pattern : "-", "status", r->status, "took_us",
		  clock_mono_us() - r->began_us);
	flow_end(r);
	return FLOW_DONE;
}

/* Head and body in one go. extra: further header lines. */
static enum flow_next reply(struct request *r, int status, struct str extra, struct str body)
{
	struct buf out = {0};

	put_head(r, &out, status, "application/json; charset=utf-8");
	buf_add_cstr(&out, "Cache-Control: no-store\r\n");
	buf_add_str(&out, extra);
	buf_printf(&out, "Content-Length: %zu\r\n\r\n", body.len);
	buf_add_str(&out, body);
	finish(r, buf_str(&out));
	buf_fini(&out);
	return FLOW_DONE;
}

static void put_envelope_end(struct request *r, struct json_writer *w)
{
	char time[CLOCK_ISO_SIZE];

	clock_iso(clock_real_us(), time);
	json_add_cstr(w, "timestamp", time);
	json_add_cstr(w, "requestId", r->request_id);
	json_close(w, '}');
}

/* details: JSON, or empty; a field is a detail of its own. */
static void put_refusal(struct request *r, struct buf *body, int err, const char *field, const char *sentence, struct str details,
			int retry_after_s)
{
	struct json_writer w = {.out = body};

	json_open(&w, '{');
	json_add_cstr(&w, "code", err_info(err)->code);
	json_add_cstr(&w, "message", sentence);
	if (field) {
		json_key(&w, "details");
		json_open(&w, '{');
		json_add_cstr(&w, "field", field);
		json_close(&w, '}');
	} else if (details.len) {
		json_key(&w, "details");
		json_put_raw(&w, details);
	}
	if (retry_after_s >= 0)
		json_add_int(&w, "retryAfter", retry_after_s);
	put_envelope_end(r, &w);
}

static enum flow_next refuse(struct request *r, int err, const char *field, const char *sentence, struct str details, int retry_after_s)
{
	const struct err_info *info = err_info(err);
	struct buf head = {0}, body = {0};
	char allow[256];

	if (retry_after_s >= 0)
		buf_printf(&head, "Retry-After: %d\r\n", retry_after_s);
	if (info->status == 401)
		buf_add_cstr(&head, "WWW-Authenticate: Bearer realm=\"llmchat\"\r\n");
	if (info->status == 405) {
		router_put_allow(r, allow, sizeof(allow));
		buf_add_cstr(&head, allow);
	}
	if (r->face == FACE_OPENAI) {
		v1_put_error_headers(&head, err, retry_after_s);
		v1_put_error(&body, err, field, sentence);
	} else {
		put_refusal(r, &body, err, field, sentence, details, retry_after_s);
	}
	log_info(&r->log, "refused", "code", info->code, "field", field);
	reply(r, info->status, buf_str(&head), buf_str(&body));
	buf_fini(&head);
	buf_fini(&body);
	return FLOW_DONE;
}

enum flow_next request_reject(struct request *r, int err)
{
	/* Whoever is refused because of a load or an outage is told when to come back. */
	return request_reject_later(r, err, err_info(err)->status == 503 ? 1 : -1);
}

enum flow_next request_reject_later(struct request *r, int err, int retry_after_s)
{
	return refuse(r, err, NULL, err_info(err)->sentence, STR(""), retry_after_s);
}

enum flow_next request_reject_because(struct request *r, int err, const char *field, const char *fmt, ...)
{
	char sentence[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	return refuse(r, err, field, sentence, STR(""), -1);
}

enum flow_next request_reject_limit(struct request *r, int retry_after_s, const char *fmt, ...)
{
	char sentence[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, args);
	va_end(args);
	return refuse(r, ERR_RATE_LIMITED, NULL, sentence, STR(""), retry_after_s);
}

enum flow_next request_reject_field(struct request *r, const struct json_complaint *complaint)
{
	return refuse(r, ERR_VALIDATION, complaint->field, complaint->sentence, STR(""), -1);
}

enum flow_next request_reject_details(struct request *r, int err, const char *sentence, struct str details)
{
	return refuse(r, err, NULL, sentence, details, -1);
}

static enum flow_next reply_data(struct request *r, int status, struct str data, struct str pagination)
{
	struct buf body = {0};
	struct json_writer w = {.out = &body};

	json_open(&w, '{');
	json_add_cstr(&w, "code", "SUCCESS");
	json_add_cstr(&w, "message", "OK");
	json_key(&w, "data");
	json_put_raw(&w, data);
	if (pagination.len) {
		json_key(&w, "metadata");
		json_open(&w, '{');
		json_key(&w, "pagination");
		json_put_raw(&w, pagination);
		json_close(&w, '}');
	}
	put_envelope_end(r, &w);
	reply(r, status, STR(""), buf_str(&body));
	buf_fini(&body);
	return FLOW_DONE;
}

enum flow_next request_reply(struct request *r, struct str data, struct str pagination)
{
	return reply_data(r, 200, data, pagination);
}

enum flow_next request_reply_created(struct request *r, struct str data)
{
	return reply_data(r, 201, data, STR(""));
}

enum flow_next request_reply_empty(struct request *r, const char *headers)
{
	struct buf out = {0};

	put_head(r, &out, 204, NULL);
	buf_add_cstr(&out, headers);
	buf_add_cstr(&out, "\r\n");
	finish(r, buf_str(&out));
	buf_fini(&out);
	return FLOW_DONE;
}

enum flow_next request_reply_bare(struct request *r, int status, struct str json)
{
	return reply(r, status, status == 503 ? STR("Retry-After: 1\r\n") : STR(""), json);
}

static void begin_body(struct request *r, const char *content_type, const char *headers)
{
	struct buf out = {0};

	put_head(r, &out, 200, content_type);
	buf_add_cstr(&out, headers);
	buf_add_cstr(&out, "X-Accel-Buffering: no\r\n\r\n");
	r->headers_sent = true;
	fcgi_send(r->fcgi, buf_str(&out));
	buf_fini(&out);
}

void request_begin_stream(struct request *r)
{
	begin_body(r, "text/event-stream; charset=utf-8", "Cache-Control: no-cache, no-transform\r\n");
}

void request_begin_download(struct request *r, const char *content_type, const char *headers)
{
	char lines[1024];

	snprintf(lines, sizeof(lines), "Cache-Control: no-store\r\n%s", headers);
	begin_body(r, content_type, lines);
}

void request_send(struct request *r, struct str bytes)
{
	fcgi_send(r->fcgi, bytes);
}

bool request_can_send(const struct request *r)
{
	return fcgi_unsent(r->fcgi) == 0;
}

enum flow_next request_end_stream(struct request *r)
{
	return finish(r, STR(""));
}

enum flow_next request_break_off(struct request *r, int err)
{
	log_warn(&r->log, "answer_broken_off", "code", err_info(err)->code, "after_ms", (clock_mono_us() - r->began_us) / 1000);
	fcgi_break_off(r->fcgi, "broken_off"); /* request_client_left sees to the rest */
	return FLOW_DONE;
}
