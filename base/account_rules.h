/* What names, e-mail addresses and passwords must be, for everybody who takes them: HTTP handlers and llmchatctl. Whether a name is
 * still free is asked of the database, not here. */
#pragma once
#include "base/str.h"

enum { USERNAME_MAX_CHARS = 64, EMAIL_MAX_CHARS = 254, PASSWORD_MIN_CHARS = 8 }; /* a password's other end: PASSWORD_MAX_BYTES */

/* Each: NULL if it is fine, else a whole sentence, a literal, that names the field and what it must be; never the value itself.
 * The texts may hold any bytes. */

/* 1 to 64 characters of UTF-8; no control characters (of Unicode: line ends, and those that turn the direction of writing, count too);
 * no blank at either end. */
const char *username_problem(struct str name);
/* Something on both sides of an @, at most 254 characters of UTF-8, neither blanks nor control characters. Empty is refused: a user
 * without an address is the caller's to know. */
const char *email_problem(struct str email);
/* At least 8 characters, at most 1024 bytes of UTF-8. A NUL is refused: no JSON of ours takes one, so nobody could log in with it. */
const char *password_problem(struct str password);
