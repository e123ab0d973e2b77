/* How sessions and messages look, wherever they are. */
#pragma once
#include "base/json.h"

struct message_row;
struct session_row;

void put_session(struct json_writer *w, const struct session_row *s);
/* The same without the braces, for objects that have more. */
void put_session_members(struct json_writer *w, const struct session_row *s);
void put_message(struct json_writer *w, const struct message_row *m);
