/* malloc that never fails: inputs are capped so that users cannot exhaust memory; if it is gone all the same, one log line and abort. */
#pragma once
#include <stddef.h>

void *mem_alloc(size_t size); /* zeroed; free() it */
void *mem_resize(void *p, size_t size);
/* The one line that says memory is gone; does not return. */
_Noreturn void mem_exhausted(size_t size);
