/* Passwords as people give them to a command: typed twice without echo, or as one line of standard input. Never an argument. */
#pragma once
#include "base/password.h"

/* Room for the longest password, its line end, and one byte by which a longer one is known. */
struct prompt_text {
	char p[PASSWORD_MAX_BYTES + 3];
	size_t len;
};

static inline struct str prompt_str(const struct prompt_text *text)
{
	return (struct str){text->p, text->len};
}

/* A new password for `whose`: if standard input is a terminal it is asked for there, twice, without echo; else the next line of it is taken,
 * without its line end ("\n" or "\r\n"), and what comes after that line is left unread. It is checked against base/account_rules.
 * NULL, or a sentence that says why there is none; wipe *out either way. A signal that ends or stops the process first gives the
 * terminal its echo back. */
MUST_CHECK const char *prompt_password(const char *whose, struct prompt_text *out);
/* 22 characters of URL-safe base64: 16 random bytes. */
void prompt_random(struct prompt_text *out);
