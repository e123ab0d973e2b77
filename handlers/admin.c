/* The audit log, and what this responder knows of the system. */
#include "handlers/admin.h"

#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/mem.h"
#include "chat/agents.h"
#include "chat/turns.h"
#include "config.h"
#include "db/audit.h"
#include "handlers/accounts_json.h"
#include "handlers/page.h"
#include "handlers/request.h"

enum { DEFAULT_PAGE = 50, MAX_TYPE = 64 };

/* ---- audit ---- */

/* A moment as PostgreSQL must be able to read it: 2026-01-31, with an hour and a zone if wanted. */
static bool valid_time(struct str s)
{
	return s.len >= 10 && s.len <= 35 && s.p[4] == '-' && s.p[7] == '-' && str_only(s, STR("0123456789-+:.TZ "));
}

static bool read_filter(struct request *r, struct audit_filter *filter)
{
	if (request_query(r, "type", &filter->type) && (filter->type.len > MAX_TYPE || !str_only(filter->type, STR(NAME_CHARS)))) {
		request_reject_because(r, ERR_VALIDATION, "type", "type must be a word such as login or user.created.");
		return false;
	}
	if (request_query(r, "userId", &filter->user_id) && !uuid_valid(filter->user_id)) {
		request_reject_because(r, ERR_VALIDATION, "userId", "userId must be the id of a user.");
		return false;
	}
	if ((request_query(r, "from", &filter->from) && !valid_time(filter->from)) ||
	    (request_query(r, "to", &filter->to) && !valid_time(filter->to))) {
		request_reject_because(r, ERR_VALIDATION, "from", "from and to must be times such as 2026-01-31 or 2026-01-31T08:30:00Z.");
		return false;
	}
	return true;
}

static enum flow_next audit_start(struct request *r)
{
	struct audit_filter filter = {.type = STR(""), .user_id = STR(""), .from = STR(""), .to = STR("")};
	struct page *page = arena_alloc(&r->arena, sizeof(*page));

	r->state = page;
	page->size = DEFAULT_PAGE;
	if (!page_read(r, page, AUDIT_MAX_PAGE) || !read_filter(r, &filter))
		return FLOW_DONE;
	filter.limit = page->size;
	filter.offset = page_offset(page);
	audit_list(r->app->pool, r->query, &filter);
	return FLOW_WAIT;
}

static int64_t put_entry(struct json_writer *w, const struct query *q, size_t i)
{
	struct audit_row row = audit_row(q, i);

	json_open(w, '{');
	json_add_int(w, "id", row.id);
	json_add_str(w, "at", row.at);
	json_add_str(w, "type", row.type);
	put_text_or_null(w, "actorId", row.actor_id);
	json_add_str(w, "actor", row.actor);
	put_text_or_null(w, "userId", row.user_id);
	json_add_str(w, "address", row.address);
	json_add_str(w, "requestId", row.request_id);
	json_key(w, "details");
	json_put_raw(w, row.details);
	json_close(w, '}');
	return row.total;
}

static enum flow_next audit_finish(struct request *r)
{
	/* 2026-02-31 looks like a time. */
	if (r->query->op.err == -ERR_INTERNAL && strncmp(query_sqlstate(r->query), "22", 2) == 0)
		return request_reject_because(r, ERR_VALIDATION, "from", "from and to must be times that exist.");
	return page_reply_rows(r, put_entry);
}

const struct step admin_audit_steps[] = {{"list_audit", audit_start, audit_finish}, {NULL, NULL, NULL}};

/* ---- system-info ---- */

static void put_process(struct json_writer *w, const struct request *r)
{
	struct loop_lag lag = loop_lag(r->app->loop);

	json_key(w, "process");
	json_open(w, '{');
	json_add_int(w, "pid", getpid());
	json_add_int(w, "uptime", (int64_t)((clock_mono_us() - r->app->began_us) / 1000000));
	json_add_int(w, "rssBytes", mem_resident_bytes());
	json_add_int(w, "liveTurns", (int64_t)r->app->turns->n_live);
	json_add_int(w, "loopLagP99Us", (int64_t)lag.p99_us);
	json_close(w, '}');
}

static void put_database(struct json_writer *w, const struct request *r)
{
	struct pool_stats stats = pool_stats(r->app->pool);

	json_key(w, "database");
	json_open(w, '{');
	json_add_cstr(w, "status", stats.reachable ? "ok" : "unavailable");
	json_add_int(w, "active", (int64_t)stats.active);
	json_add_int(w, "idle", (int64_t)stats.idle);
	json_add_int(w, "waiting", (int64_t)stats.waiting);
	json_add_int(w, "max", (int64_t)stats.max);
	json_close(w, '}');
}

static enum flow_next system_info_start(struct request *r)
{
	const struct conf *conf = r->app->conf;
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	struct utsname os = {0};

	uname(&os);
	json_open(&w, '{');
	json_add_cstr(&w, "version", PACKAGE_VERSION);
	json_add_cstr(&w, "environment", conf->environment);
	json_add_cstr(&w, "system", os.sysname);
	json_add_cstr(&w, "release", os.release);
	json_add_cstr(&w, "host", os.nodename);
	json_add_int(&w, "cores", sysconf(_SC_NPROCESSORS_ONLN));
	json_add_int(&w, "responders", conf->responders);
	json_add_int(&w, "agents", (int64_t)agents_count(r->app->agents));
	put_process(&w, r);
	put_database(&w, r);
	json_close(&w, '}');
	request_reply(r, buf_str(&b), STR(""));
	buf_fini(&b);
	return FLOW_DONE;
}

const struct step admin_system_info_steps[] = {{"system_info", system_info_start, NULL}, {NULL, NULL, NULL}};
