/* A session as a file, however long: a page is read from the database, sent, and forgotten when the socket has taken it, before the next is
 * asked for. Messages that come meanwhile may be in it or not. */
#include "handlers/session_export.h"

#include "base/clock.h"
#include "db/messages.h"
#include "handlers/export_format.h"
#include "handlers/request.h"
#include "handlers/whose.h"

enum { PAGE_ROWS = 200, PAGE_BYTES = 512 * 1024 };

struct exporting {
	enum export_format format;
	struct uuid session_id, after_id;
	int64_t after_us;
	bool asked; /* a page is on its way from the database, not on its way out */
	bool begun, over;
};

static enum flow_next find_start(struct request *r)
{
	struct exporting *e = arena_alloc(&r->arena, sizeof(*e));
	struct session_owner owner = whose(r);
	struct str format = STR("json");

	r->state = e;
	if (request_query(r, "format", &format) && !export_format_named(format, &e->format))
		return request_reject_because(r, ERR_VALIDATION, "format", "format must be json, csv or markdown.");
	sessions_get(r->app->pool, r->query, &owner, r->path_params[0]);
	return FLOW_WAIT;
}

static void begin(struct request *r)
{
	struct exporting *e = r->state;
	struct session_row session = sessions_row(r->query, 0);
	struct buf head = {0}, out = {0};
	char now[CLOCK_ISO_SIZE];

	clock_iso(clock_real_us(), now);
	e->session_id = uuid_from(session.id);
	e->after_id = uuid_from(STR("00000000-0000-0000-0000-000000000000"));
	export_disposition(&head, e->format, session.title, session.id);
	buf_add_char(&head, '\0');
	request_begin_download(r, export_media_type(e->format), head.p);
	export_begin(&out, e->format, &session, now);
	request_send(r, buf_str(&out));
	buf_fini(&head);
	buf_fini(&out);
}

static enum flow_next find_finish(struct request *r)
{
	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	if (query_n_rows(r->query) == 0)
		return request_reject(r, ERR_SESSION_NOT_FOUND);
	begin(r);
	query_fini(r->query);
	return FLOW_NEXT;
}

static enum flow_next page_start(struct request *r)
{
	struct exporting *e = r->state;

	if (!request_can_send(r))
		return FLOW_WAIT;
	e->asked = true;
	messages_export(r->app->pool, r->query, uuid_str(&r->user_id), uuid_str(&e->session_id), e->after_us, uuid_str(&e->after_id),
			PAGE_ROWS, PAGE_BYTES);
	return FLOW_WAIT;
}

static void send_page(struct request *r)
{
	struct exporting *e = r->state;
	size_t n = query_n_rows(r->query);
	struct buf out = {0};

	for (size_t i = 0; i < n; i++) {
		struct message_row m = messages_exported(r->query, i);

		export_message(&out, e->format, &m, !e->begun);
		e->begun = true;
		if (i + 1 == n) {
			e->after_us = m.created_us;
			e->after_id = uuid_from(m.id);
		}
	}
	e->over = n == 0;
	if (e->over)
		export_end(&out, e->format);
	query_fini(r->query);
	request_send(r, buf_str(&out));
	buf_fini(&out);
}

/* The page is there, or the socket has taken the last one. */
static enum flow_next page_finish(struct request *r)
{
	struct exporting *e = r->state;

	if (e->asked) {
		e->asked = false;
		if (r->query->op.err) /* half a file must not look like a whole one */
			return request_break_off(r, r->query->op.err);
		send_page(r);
	}
	if (e->over)
		return request_end_stream(r);
	return request_can_send(r) ? FLOW_AGAIN : FLOW_WAIT;
}

const struct step session_export_steps[] = {
	{"whose_session", whose_read_start, whose_read_finish},
	{"get_session", find_start, find_finish},
	{"send_page", page_start, page_finish},
	{NULL, NULL, NULL},
};
