/* malloc that never fails: inputs are capped so that users cannot exhaust memory; if it is gone all the same, one log line and abort. */
#pragma once
#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size); /* zeroed; free() it */
void *mem_resize(void *p, size_t size);
/* The one line that says memory is gone; does not return. */
_Noreturn void mem_exhausted(size_t size);

/* For a process that lives long: blocks of 128 KiB and more, such as long answers, are mapped by themselves and go back to the system when
 * they are freed. Left alone, glibc keeps ever larger ones in its heap, and what lies between them keeps that from shrinking. At start-up. */
void mem_return_large(void);
/* What of this process is in memory, shared pages too; 0 if the system does not say. */
int64_t mem_resident_bytes(void);
