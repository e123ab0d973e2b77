/* Fuzzes the parameters of a request, through libfcgi. */
#include <assert.h>

#include "fcgi/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct arena arena = {0};
	struct params params;

	if (!ready)
		request_libfcgi_init();
	ready = true;
	if (request_read_params((struct str){(const char *)data, size}, &arena, &params) == 0)
		for (size_t i = 0; i < params.n; i++)
			assert(params.list[i].name.len + params.list[i].value.len <= size ||
			       str_eq(params.list[i].name, STR("FCGI_ROLE"))); /* libfcgi adds it */
	arena_fini(&arena);
	return 0;
}
