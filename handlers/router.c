/* Matching a path to its route. */
#include "handlers/router.h"

#include "handlers/account.h"
#include "handlers/admin.h"
#include "handlers/admin_agents.h"
#include "handlers/admin_breakers.h"
#include "handlers/admin_pool.h"
#include "handlers/admin_users.h"
#include "handlers/agents.h"
#include "handlers/agents_import.h"
#include "handlers/analytics.h"
#include "handlers/chat.h"
#include "handlers/chat_stop.h"
#include "handlers/cors.h"
#include "handlers/health.h"
#include "handlers/history.h"
#include "handlers/keys.h"
#include "handlers/login.h"
#include "handlers/request.h"
#include "handlers/search.h"
#include "handlers/session_edit.h"
#include "handlers/session_export.h"
#include "handlers/session_list.h"
#include "handlers/sessions.h"
#include "handlers/v1_chat.h"
#include "handlers/v1_models.h"

static const struct route routes[] = {
	{"GET", "/health", WHO_PROBE, false, health_steps},
	{"GET", "/health/ready", WHO_PROBE, false, health_ready_steps},
	{"GET", "/health/detailed", WHO_PROBE, false, health_detailed_steps},
	{"GET", "/health/stream", WHO_PROBE, true, health_stream_steps},
	{"GET", "/api/auth/options", WHO_PUBLIC, false, auth_options_steps},
	{"POST", "/api/auth/login", WHO_PUBLIC, false, login_steps},
	{"POST", "/api/auth/register", WHO_PUBLIC, false, register_steps},
	{"POST", "/api/auth/refresh", WHO_PUBLIC, false, refresh_steps},
	{"POST", "/api/auth/logout", WHO_LOGIN, false, logout_steps},
	{"GET", "/api/auth/verify", WHO_USER, false, verify_steps},
	{"POST", "/api/auth/verify", WHO_USER, false, verify_steps},
	{"GET", "/api/auth/profile", WHO_USER, false, profile_steps},
	{"PATCH", "/api/auth/profile", WHO_LOGIN, false, profile_update_steps},
	{"POST", "/api/auth/change-password", WHO_LOGIN, false, change_password_steps},
	{"GET", "/api/auth/keys", WHO_LOGIN, false, keys_list_steps},
	{"POST", "/api/auth/keys", WHO_LOGIN, false, keys_create_steps},
	{"DELETE", "/api/auth/keys/:id", WHO_LOGIN, false, keys_revoke_steps},
	{"GET", "/api/agents", WHO_OPEN, false, agents_list_steps},
	{"POST", "/api/agents", WHO_ADMIN, false, admin_agents_create_steps},
	{"POST", "/api/agents/import", WHO_ADMIN, false, agents_import_steps},
	{"POST", "/api/agents/reload", WHO_ADMIN, false, admin_agents_reload_steps},
	{"GET", "/api/agents/:id", WHO_OPEN, false, agents_get_steps},
	{"PUT", "/api/agents/:id", WHO_ADMIN, false, admin_agents_update_steps},
	{"PATCH", "/api/agents/:id", WHO_ADMIN, false, admin_agents_update_steps},
	{"DELETE", "/api/agents/:id", WHO_ADMIN, false, admin_agents_delete_steps},
	{"GET", "/api/agents/:id/status", WHO_PUBLIC, false, agents_status_steps},
	{"GET", "/api/agents/:id/validate", WHO_ADMIN, false, admin_agents_validate_steps},
	{"POST", "/api/chat/completions", WHO_OWNER, true, chat_steps},
	{"POST", "/api/chat/messages", WHO_OWNER, true, chat_steps},
	{"POST", "/api/chat/messages/:id/stop", WHO_OWNER, false, chat_stop_steps},
	{"GET", "/api/chat/sessions/:id/messages", WHO_OWNER, false, sessions_messages_steps},
	{"GET", "/api/chat/history", WHO_OWNER, false, session_list_steps},
	{"GET", "/api/chat/history/:id", WHO_OWNER, false, sessions_history_steps},
	{"DELETE", "/api/chat/history/:id", WHO_OWNER, false, session_delete_steps},
	{"POST", "/api/chat/history/:id/retry", WHO_OWNER, true, history_retry_steps},
	{"POST", "/api/chat/feedback", WHO_OWNER, false, feedback_steps},
	{"GET", "/api/chat/init", WHO_OWNER, false, chat_init_steps},
	{"GET", "/api/chat-sessions", WHO_OWNER, false, session_list_steps},
	{"POST", "/api/chat-sessions", WHO_OWNER, false, session_create_steps},
	{"GET", "/api/chat-sessions/search", WHO_OWNER, false, search_steps},
	{"GET", "/api/chat-sessions/stats", WHO_OWNER, false, sessions_stats_steps},
	{"POST", "/api/chat-sessions/batch", WHO_OWNER, false, session_batch_steps},
	{"GET", "/api/chat-sessions/:id", WHO_OWNER, false, sessions_get_steps},
	{"GET", "/api/chat-sessions/:id/export", WHO_OWNER, true, session_export_steps},
	{"DELETE", "/api/chat-sessions/:id", WHO_OWNER, false, session_delete_steps},
	{"PATCH", "/api/chat-sessions/:id/title", WHO_OWNER, false, session_title_steps},
	{"POST", "/api/chat-sessions/:id/archive", WHO_OWNER, false, session_archive_steps},
	{"POST", "/api/chat-sessions/:id/restore", WHO_OWNER, false, session_restore_steps},
	{"GET", "/v1/models", WHO_OWNER, false, v1_models_list_steps},
	{"GET", "/v1/models/:id", WHO_OWNER, false, v1_models_get_steps},
	{"POST", "/v1/chat/completions", WHO_OWNER, true, v1_chat_steps},
	{"GET", "/api/admin/users", WHO_ADMIN, false, admin_users_list_steps},
	{"POST", "/api/admin/users", WHO_ADMIN, false, admin_users_create_steps},
	{"GET", "/api/admin/users/:id", WHO_ADMIN, false, admin_users_get_steps},
	{"PATCH", "/api/admin/users/:id", WHO_ADMIN, false, admin_users_update_steps},
	{"PUT", "/api/admin/users/:id", WHO_ADMIN, false, admin_users_update_steps},
	{"POST", "/api/admin/users/:id/reset-password", WHO_ADMIN, false, admin_users_reset_password_steps},
	{"POST", "/api/admin/users/:id/revoke", WHO_ADMIN, false, admin_users_revoke_steps},
	{"GET", "/api/admin/keys", WHO_ADMIN, false, admin_keys_list_steps},
	{"DELETE", "/api/admin/keys/:id", WHO_ADMIN, false, admin_keys_revoke_steps},
	{"GET", "/api/admin/audit", WHO_ADMIN, false, admin_audit_steps},
	{"GET", "/api/admin/pool", WHO_ADMIN, false, admin_pool_steps},
	{"POST", "/api/admin/pool/turns/:id/stop", WHO_ADMIN, false, admin_stop_turn_steps},
	{"GET", "/api/admin/agents/breakers", WHO_ADMIN, false, admin_breakers_steps},
	{"POST", "/api/admin/agents/breakers/reset", WHO_ADMIN, false, admin_breakers_reset_steps},
	{"POST", "/api/admin/agents/breakers/:id/reset", WHO_ADMIN, false, admin_breaker_reset_steps},
	{"GET", "/api/admin/system-info", WHO_ADMIN, false, admin_system_info_steps},
	{"GET", "/api/admin/stats", WHO_ADMIN, false, admin_stats_steps},
	{"GET", "/api/admin/analytics/overview", WHO_ADMIN, false, admin_overview_steps},
	{"GET", "/api/admin/analytics/trends", WHO_ADMIN, false, admin_trends_steps},
	{"GET", "/api/admin/analytics/agents", WHO_ADMIN, false, admin_usage_agents_steps},
};

static enum flow_next refuse_route(struct request *r)
{
	return request_reject(r, ERR_ROUTE_NOT_FOUND);
}

static enum flow_next refuse_method(struct request *r)
{
	return request_reject(r, ERR_METHOD_NOT_ALLOWED);
}

static const struct step no_route_steps[] = {{"find_route", refuse_route, NULL}, {NULL, NULL, NULL}};
static const struct step no_method_steps[] = {{"find_route", refuse_method, NULL}, {NULL, NULL, NULL}};

/* Does the path have the pattern's shape? Parameters go to params, as they are in the path. */
static bool matches(const char *pattern, struct str path, struct str params[REQUEST_MAX_PATH_PARAMS])
{
	struct str rest = str_from(pattern);
	size_t n = 0;

	if (path.len > 1 && path.p[path.len - 1] == '/')
		path.len--;
	while (rest.len > 0 && path.len > 0) {
		struct str want = str_cut(&rest, '/'), have = str_cut(&path, '/');

		if (want.len > 0 && want.p[0] == ':') {
			if (have.len == 0 || n == REQUEST_MAX_PATH_PARAMS)
				return false;
			params[n++] = have;
		} else if (!str_eq(want, have)) {
			return false;
		}
	}
	return rest.len == 0 && path.len == 0 && !rest.p && !path.p;
}

/* Also of an address that is no route. */
static enum face face_of(struct str path)
{
	return str_starts(path, STR("/v1/")) || str_eq(path, STR("/v1")) ? FACE_OPENAI : FACE_API;
}

const struct step *router_find(struct request *r)
{
	struct str params[REQUEST_MAX_PATH_PARAMS] = {{NULL, 0}}, method = r->method;
	const struct step *refusal = no_route_steps;

	if (str_eq(method, STR("HEAD"))) /* nginx drops the body */
		method = STR("GET");
	r->face = face_of(r->path);
	for (size_t i = 0; i < N_ELEMENTS(routes); i++) {
		if (!matches(routes[i].pattern, r->path, params))
			continue;
		if (!str_eq_cstr(method, routes[i].method)) {
			refusal = str_eq(method, STR("OPTIONS")) ? cors_options_steps : no_method_steps;
			continue;
		}
		r->route = &routes[i];
		for (size_t j = 0; j < REQUEST_MAX_PATH_PARAMS; j++)
			r->path_params[j] = request_decode(r, params[j], false);
		return routes[i].steps;
	}
	return refusal;
}

void router_put_allow(const struct request *r, char *out, size_t size)
{
	struct str params[REQUEST_MAX_PATH_PARAMS];
	size_t n = (size_t)snprintf(out, size, "Allow: ");
	const char *comma = "";

	for (size_t i = 0; i < N_ELEMENTS(routes) && n < size; i++) {
		if (!matches(routes[i].pattern, r->path, params))
			continue;
		n += (size_t)snprintf(out + n, size - n, "%s%s", comma,
				      strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method);
		comma = ", ";
	}
	if (n < size)
		snprintf(out + n, size - n, "\r\n");
}

void router_print(FILE *out)
{
	static const char *const who[] = {
		[WHO_PROBE] = "probe", [WHO_PUBLIC] = "public", [WHO_OPEN] = "open",   [WHO_OWNER] = "owner",
		[WHO_USER] = "user",   [WHO_LOGIN] = "login",   [WHO_ADMIN] = "admin",
	};

	for (size_t i = 0; i < N_ELEMENTS(routes); i++)
		fprintf(out, "%s\t%s\t%s\t%s\n", routes[i].method, routes[i].pattern, who[routes[i].who],
			routes[i].streams ? "stream" : "plain");
}
