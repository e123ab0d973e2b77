/* Whose sessions a route is about: the own ones, or, for an administrator who reads, another's. */
#pragma once
#include "db/sessions.h"
#include "handlers/flow.h"

struct request;

/* Steps. Both refuse an :id that can be no session's. */

/* For routes that only read: ?userId= is another's for an administrator who has logged in, and the audit log says so; r->user_id is then him. */
enum flow_next whose_read_start(struct request *r);
enum flow_next whose_read_finish(struct request *r);
/* For routes that write: there, ?userId= is refused, so that nobody takes his own session for another's. */
enum flow_next whose_write_start(struct request *r);

/* For statements; borrowed from the request. */
struct session_owner whose(const struct request *r);
/* What clients may call a session. */
bool chat_id_valid(struct str chat_id);
enum { CHAT_ID_MAX = 128 };
