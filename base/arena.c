/* Chunked bump allocation. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { FIRST_CHUNK_BYTES = 464, CHUNK_BYTES = 2000, ALIGNMENT = 16 }; /* many arenas hold a few words only */

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	_Alignas(ALIGNMENT) char bytes[];
};

struct arena_cleanup {
	struct arena_cleanup *next;
	void (*fn)(void *thing);
	void *thing;
};

void arena_fini(struct arena *a)
{
	for (struct arena_cleanup *c = a->cleanups; c; c = c->next)
		c->fn(c->thing);
	while (a->chunks) {
		struct arena_chunk *next = a->chunks->next;

		free(a->chunks);
		a->chunks = next;
	}
	a->cleanups = NULL;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *chunk = a->chunks;
	void *p;

	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (!chunk || chunk->size - chunk->used < size) {
		size_t usual = chunk ? CHUNK_BYTES : FIRST_CHUNK_BYTES, bytes = size > usual ? size : usual;

		chunk = mem_alloc(sizeof(*chunk) + bytes);
		chunk->size = bytes;
		chunk->next = a->chunks;
		a->chunks = chunk;
	}
	p = chunk->bytes + chunk->used;
	chunk->used += size;
	return p;
}

struct str arena_copy(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (s.len)
		memcpy(p, s.p, s.len);
	return (struct str){p, s.len};
}

const char *arena_cstr(struct arena *a, struct str s)
{
	return arena_copy(a, s).p;
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list args;
	char *p;
	int n;

	va_start(args, fmt);
	n = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	p = arena_alloc(a, (size_t)n + 1);
	va_start(args, fmt);
	vsnprintf(p, (size_t)n + 1, fmt, args);
	va_end(args);
	return (struct str){p, (size_t)n};
}

void arena_on_free(struct arena *a, void (*fn)(void *thing), void *thing)
{
	struct arena_cleanup *c = arena_alloc(a, sizeof(*c));

	*c = (struct arena_cleanup){a->cleanups, fn, thing};
	a->cleanups = c;
}
