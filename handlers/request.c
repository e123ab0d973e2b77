/* Reading a request: parameters, cookies, query string, request id; its beginning and its end. */
#include "handlers/request.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/mem.h"
#include "base/password.h"
#include "fcgi/conn.h"
#include "handlers/access.h"
#include "handlers/cors.h"
#include "handlers/router.h"

enum { MAX_ADDRESS = 64 }; /* an IPv6 address with a zone has less */

static bool valid_request_id(struct str id)
{
	return id.len > 0 && id.len < REQUEST_ID_SIZE && str_only(id, STR(NAME_CHARS));
}

static void take_request_id(struct request *r)
{
	struct str given = request_param(r, "HTTP_X_REQUEST_ID");
	struct uuid made;

	if (!valid_request_id(given)) {
		made = uuid_new();
		given = uuid_str(&made);
	}
	snprintf(r->request_id, sizeof(r->request_id), "%.*s", STR_ARG(given));
}

static void on_query_done(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct request_waits, query.op)->request);
}

/* Ends what is in flight. */
static void end_waits(void *thing)
{
	struct request_waits *waits = thing;

	query_fini(&waits->query);
	op_cancel(&waits->count.op);
}

static void add_waits(struct request *r)
{
	struct request_waits *waits = arena_alloc(&r->question, sizeof(*waits));

	waits->request = r;
	query_init(&waits->query);
	waits->query.op.done = on_query_done;
	arena_on_free(&r->question, end_waits, waits);
	r->waits = waits;
	r->query = &waits->query;
}

void request_end_question(struct request *r)
{
	arena_fini(&r->question);
	r->waits = NULL;
	r->query = NULL;
	r->method = r->path = r->query_string = STR("");
	if (r->fcgi)
		fcgi_drop_params(r->fcgi);
}

void request_begin(struct app *app, struct fcgi_request *fcgi)
{
	struct request *r = mem_alloc(sizeof(*r));
	struct str uri;

	r->app = app;
	app->n_requests++;
	r->fcgi = fcgi;
	r->began_us = fcgi->began_us;
	fcgi->owner = r;
	list_init(&r->resume.node);
	list_init(&r->reader.node);
	add_waits(r);
	take_request_id(r);
	r->log.request_id = r->request_id;
	r->method = request_param(r, "REQUEST_METHOD");
	uri = request_param(r, "REQUEST_URI");
	r->path = str_cut(&uri, '?');
	r->query_string = request_param(r, "QUERY_STRING");
	r->https = str_eq(request_param(r, "HTTP_X_FORWARDED_PROTO"), STR("https"));
	r->cors_allowed = cors_allows(r);
	r->then = router_find(r);
	flow_start(r, access_steps);
}

void request_client_left(struct request *r)
{
	r->fcgi = NULL;
	log_info(&r->log, "client_left", "after_ms", (clock_mono_us() - r->began_us) / 1000);
	flow_end(r);
}

void request_writable(struct request *r)
{
	flow_wake(r);
}

struct str request_param(const struct request *r, const char *name)
{
	return params_get(&r->fcgi->params, name);
}

struct str request_address(const struct request *r)
{
	struct str address = request_param(r, "REMOTE_ADDR");

	return address.len <= MAX_ADDRESS ? address : STR("");
}

uint64_t request_left_ms(const struct request *r)
{
	uint64_t age_ms = (clock_mono_us() - r->began_us) / 1000, limit_ms = (uint64_t)r->app->conf->request_timeout_ms;

	return age_ms < limit_ms ? limit_ms - age_ms : 0;
}

/* A job and who waits for it. */
struct request_job {
	struct password_job job;
	struct request *request;
};

static void on_password_done(struct op *op)
{
	flow_wake(CONTAINER_OF(op, struct request_job, job.op)->request);
}

static void cancel_job(void *op)
{
	op_cancel(op);
}

struct password_job *request_password_job(struct request *r)
{
	struct request_job *mine = arena_alloc(&r->arena, sizeof(*mine));

	mine->request = r;
	mine->job.op.done = on_password_done;
	arena_on_free(&r->arena, cancel_job, &mine->job.op);
	r->password = &mine->job;
	return r->password;
}

struct str request_cookie(const struct request *r, const char *name)
{
	struct str rest = request_param(r, "HTTP_COOKIE");

	while (rest.len > 0) {
		struct str value = str_trim(str_cut(&rest, ';')), key = str_cut(&value, '=');

		if (str_eq_cstr(key, name))
			return value.p ? value : STR("");
	}
	return STR("");
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct str request_decode(struct request *r, struct str s, bool plus_is_blank)
{
	char *p = arena_alloc(&r->arena, s.len + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		int high = s.len - i > 2 ? hex_digit(s.p[i + 1]) : -1, low = s.len - i > 2 ? hex_digit(s.p[i + 2]) : -1;

		if (s.p[i] == '%' && high >= 0 && low >= 0) {
			p[n++] = (char)(high << 4 | low);
			i += 2;
		} else {
			p[n++] = s.p[i] == '+' && plus_is_blank ? ' ' : s.p[i];
		}
	}
	return (struct str){p, n};
}

bool request_text_valid(struct str s)
{
	return utf8_valid(s) && !(s.len && memchr(s.p, '\0', s.len));
}

bool request_query(struct request *r, const char *name, struct str *out)
{
	struct str rest = r->query_string;

	while (rest.len > 0) {
		struct str value = str_cut(&rest, '&'), key = str_cut(&value, '=');

		if (str_eq_cstr(request_decode(r, key, true), name)) {
			*out = request_decode(r, value.p ? value : STR(""), true);
			return true;
		}
	}
	return false;
}

bool request_query_int(struct request *r, const char *name, int64_t min, int64_t max, int64_t *out)
{
	struct str text;

	if (!request_query(r, name, &text))
		return true;
	if (str_to_i64(text, out) && *out >= min && *out <= max)
		return true;
	request_reject_because(r, ERR_VALIDATION, name, "%s must be a whole number from %lld to %lld.", name, (long long)min,
			       (long long)max);
	return false;
}
