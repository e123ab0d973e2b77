/* How users look, and how they are read, wherever they are. */
#pragma once
#include "base/json.h"
#include "handlers/flow.h"

struct user_row;

/* {id, username, email, role}; email is null if there is none. */
void put_user_brief(struct json_writer *w, struct str id, struct str username, struct str email, struct str role);
/* The same with isActive, createdAt, lastLoginAt. */
void put_user(struct json_writer *w, const struct user_row *user);
/* key and s; null if s is empty. */
void put_text_or_null(struct json_writer *w, const char *key, struct str s);

/* username, password and, if it is there, email; checked by base/account_rules. */
MUST_CHECK bool read_new_account(const struct json *body, struct str *username, struct str *email, struct str *password,
				 struct json_complaint *complaint);
/* A required password under this name. */
MUST_CHECK bool read_password(const struct json *body, const char *field, struct str *password, struct json_complaint *complaint);
/* null takes the address away: *email is then empty, and *given says that the field is there. */
MUST_CHECK bool read_email(const struct json *body, struct str *email, bool *given, struct json_complaint *complaint);

/* Refuses after a statement that writes a user has failed: a taken name or address is told as such. */
enum flow_next refuse_user_conflict(struct request *r);
/* Answers with the user of the first row, or that there is none. */
enum flow_next reply_user(struct request *r, bool created);
