/* Allocation that aborts when memory is gone. */
#include "base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LARGE_BYTES = 128 << 10 };

void mem_exhausted(size_t size)
{
	char line[96];
	int n = snprintf(line, sizeof(line), "{\"level\":\"fatal\",\"event\":\"out_of_memory\",\"bytes\":%zu}\n", size);

	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		abort();
	abort();
}

void *mem_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		mem_exhausted(size);
	return p;
}

void *mem_resize(void *p, size_t size)
{
	void *moved = realloc(p, size ? size : 1);

	if (!moved)
		mem_exhausted(size);
	return moved;
}

void mem_return_large(void)
{
	mallopt(M_MMAP_THRESHOLD, LARGE_BYTES); /* said once, it stays */
}

int64_t mem_resident_bytes(void)
{
	long long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f) {
		if (fscanf(f, "%*d %lld", &pages) != 1)
			pages = 0;
		fclose(f);
	}
	return pages * sysconf(_SC_PAGESIZE);
}
