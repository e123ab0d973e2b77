/* Fuzzes lines of the env file. */
#include <assert.h>
#include <stdlib.h>

#include "base/conf.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = mem_alloc(size + 1), *name = NULL, *value = NULL;

	memcpy(line, data, size);
	if (conf_parse_line(line, &name, &value) == 1) {
		assert(name >= line && name + strlen(name) <= line + size && *name);
		assert(value >= line && value + strlen(value) <= line + size);
	}
	free(line);
	return 0;
}
