/* A search tree by key, and a list from the least to the most recently used. */
#include "cache/copies.h"

#include <search.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/mem.h"

struct copy {
	struct str key;
	struct list node; /* in copies->used */
	struct copy_text *text;
	uint64_t until_us;
	char key_text[];
};

struct copies {
	void *tree; /* of tsearch: struct copy by key */
	struct list used;
	size_t n, n_bytes;
};

struct copy_text *copy_text_new(struct str s)
{
	struct copy_text *t = mem_alloc(sizeof(*t) + s.len);

	t->n_refs = 1;
	t->len = s.len;
	if (s.len)
		memcpy(t->p, s.p, s.len);
	return t;
}

struct copy_text *copy_text_ref(struct copy_text *t)
{
	t->n_refs++;
	return t;
}

void copy_text_unref(struct copy_text *t)
{
	if (t && --t->n_refs == 0)
		free(t);
}

static int compare(const void *a, const void *b)
{
	return str_compare(((const struct copy *)a)->key, ((const struct copy *)b)->key);
}

struct copies *copies_new(void)
{
	struct copies *copies = mem_alloc(sizeof(*copies));

	list_init(&copies->used);
	return copies;
}

static void drop(struct copies *copies, struct copy *copy)
{
	tdelete(copy, &copies->tree, compare);
	list_remove(&copy->node);
	copies->n--;
	copies->n_bytes -= copy->text->len;
	copy_text_unref(copy->text);
	free(copy);
}

static void drop_oldest(struct copies *copies)
{
	drop(copies, CONTAINER_OF(copies->used.next, struct copy, node));
}

void copies_free(struct copies *copies)
{
	if (!copies)
		return;
	while (copies->n > 0)
		drop_oldest(copies);
	free(copies);
}

static struct copy *find(const struct copies *copies, struct str key)
{
	struct copy wanted = {.key = key};
	struct copy *const *found = tfind(&wanted, &copies->tree, compare);

	return found ? *found : NULL;
}

struct copy_text *copies_find(struct copies *copies, struct str key, uint64_t now_us)
{
	struct copy *copy = find(copies, key);

	if (!copy)
		return NULL;
	if (now_us >= copy->until_us) {
		drop(copies, copy);
		return NULL;
	}
	list_remove(&copy->node);
	list_push(&copies->used, &copy->node);
	return copy->text;
}

void copies_keep(struct copies *copies, struct str key, struct copy_text *t, uint64_t until_us)
{
	struct copy *copy = find(copies, key);

	if (copy)
		drop(copies, copy);
	if (t->len > COPIES_MAX_ONE)
		return;
	copy = mem_alloc(sizeof(*copy) + key.len);
	memcpy(copy->key_text, key.p, key.len);
	copy->key = (struct str){copy->key_text, key.len};
	copy->text = copy_text_ref(t);
	copy->until_us = until_us;
	if (!tsearch(copy, &copies->tree, compare)) { /* no memory for the tree: it is not kept */
		copy_text_unref(t);
		free(copy);
		return;
	}
	list_push(&copies->used, &copy->node);
	copies->n++;
	copies->n_bytes += t->len;
	while (copies->n > COPIES_MAX || copies->n_bytes > COPIES_MAX_BYTES)
		drop_oldest(copies);
}

size_t copies_count(const struct copies *copies)
{
	return copies->n;
}

size_t copies_bytes(const struct copies *copies)
{
	return copies->n_bytes;
}
