/* The error table. */
#include "base/err.h"

#include <errno.h>

static const struct err_info table[N_ERRS] = {[ERR_NONE] = {"SUCCESS", 200, "OK"},
#define X(name, status, code, sentence) [ERR_##name] = {code, status, sentence},
					      ERR_TABLE(X)
#undef X
};

const struct err_info *err_info(int err)
{
	if (err < 0)
		err = -err;
	return &table[err < N_ERRS ? err : ERR_INTERNAL];
}

int err_of_code(struct str code)
{
	for (int err = 1; err < N_ERRS; err++)
		if (str_eq_cstr(code, table[err].code))
			return err;
	return ERR_INTERNAL;
}

bool err_is_shortage(int errnum)
{
	return errnum == EMFILE || errnum == ENFILE || errnum == ENOBUFS || errnum == ENOMEM;
}

bool err_retryable(int err)
{
	int status = err_info(err)->status;

	return status == 429 || (status >= 502 && err_info(err) != &table[ERR_UPSTREAM_AUTH]);
}
