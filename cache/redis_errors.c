/* Errors that are about Redis' own state, not about the command. */
#include "cache/redis_errors.h"

#include <stdio.h>

#include "cache/resp.h"

static const struct {
	const char *code;
	enum redis_trouble trouble;
} codes[] = {
	{"MISCONF", REFUSES}, /* its disk */
	{"OOM", REFUSES},     /* full, and nothing may be evicted */
	{"NOPERM", REFUSES},  /* its ACL */
	{"BUSY", REFUSES},    /* somebody's script runs on and on */
	{"NOREPLICAS", REFUSES}, {"NOAUTH", USELESS},
	{"LOADING", USELESS},    {"READONLY", USELESS}, /* a replica: the name may mean another host by now */
	{"MASTERDOWN", USELESS}, {"CLUSTERDOWN", USELESS},
};

enum redis_trouble redis_trouble(const struct resp_reply *reply)
{
	struct str text = reply->value.text, code = resp_error_code(reply);

	if (reply->value.type != RESP_ERROR || text.len == 0)
		return NO_TROUBLE;
	for (size_t i = 0; i < N_ELEMENTS(codes); i++) {
		char wrapped[32]; /* Redis before 7 puts what a script was told into an error of its own */
		int n = snprintf(wrapped, sizeof(wrapped), "-%s ", codes[i].code);

		if (str_eq_cstr(code, codes[i].code) || memmem(text.p, text.len, wrapped, (size_t)n))
			return codes[i].trouble;
	}
	return NO_TROUBLE;
}
