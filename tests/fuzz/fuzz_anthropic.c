/* Fuzzes the parser of Anthropic's streams: in one piece and byte by byte they must say the same. */
#include "tests/fuzz/fuzz_dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	return fuzz_dialect(&provider_anthropic, (struct str){(const char *)data, size});
}
