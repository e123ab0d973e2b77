/* Copies in a search tree by credential, and in a list from the least to the most recently used. */
#include "auth/people.h"

#include <search.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"

struct copy {
	struct person person; /* first: a person is its copy */
	size_t n_refs;
	struct str credential;
	struct list node; /* in people->used, while it is in the tree */
	char text[];      /* of credential, username and agents */
};

struct people {
	void *tree; /* of tsearch: struct copy by credential */
	struct list used;
	size_t n;
	uint64_t era;
};

static struct copy *copy_of(struct person *person)
{
	return CONTAINER_OF(person, struct copy, person);
}

struct person *person_ref(struct person *person)
{
	copy_of(person)->n_refs++;
	return person;
}

void person_unref(struct person *person)
{
	if (person && --copy_of(person)->n_refs == 0)
		free(copy_of(person));
}

bool person_may_use_agent(const struct person *person, struct str agent_id)
{
	return person->agents.len == 0 || json_list_has(person->agents, agent_id);
}

static int compare(const void *a, const void *b)
{
	struct str x = ((const struct copy *)a)->credential, y = ((const struct copy *)b)->credential;

	if (x.len != y.len)
		return x.len < y.len ? -1 : 1;
	return memcmp(x.p, y.p, x.len);
}

struct people *people_new(void)
{
	struct people *people = mem_alloc(sizeof(*people));

	list_init(&people->used);
	return people;
}

static void drop(struct people *people, struct copy *copy)
{
	tdelete(copy, &people->tree, compare);
	list_remove(&copy->node);
	people->n--;
	person_unref(&copy->person);
}

static void drop_all(struct people *people)
{
	while (!list_empty(&people->used))
		drop(people, CONTAINER_OF(people->used.next, struct copy, node));
}

void people_free(struct people *people)
{
	if (!people)
		return;
	drop_all(people);
	free(people);
}

static struct copy *find(const struct people *people, struct str credential)
{
	struct copy key = {.credential = credential};
	struct copy *const *found = tfind(&key, &people->tree, compare);

	return found ? *found : NULL;
}

struct person *people_find(struct people *people, struct str credential)
{
	struct copy *copy = find(people, credential);

	if (!copy)
		return NULL;
	if (clock_mono_us() >= copy->person.valid_until_us) {
		drop(people, copy);
		return NULL;
	}
	list_remove(&copy->node);
	list_push(&people->used, &copy->node);
	return &copy->person;
}

uint64_t people_era(const struct people *people)
{
	return people->era;
}

static struct str put_text(char **at, struct str s)
{
	struct str copy = {*at, s.len};

	if (s.len)
		memcpy(*at, s.p, s.len);
	*at += s.len;
	return copy;
}

static struct copy *copy_new(struct str credential, const struct person *facts, int64_t expires_in_s)
{
	struct copy *copy = mem_alloc(sizeof(*copy) + credential.len + facts->username.len + facts->agents.len);
	int64_t valid_s = expires_in_s > 0 && expires_in_s < PEOPLE_MAX_AGE_S ? expires_in_s : PEOPLE_MAX_AGE_S;
	char *at = copy->text;

	copy->person = *facts;
	copy->person.valid_until_us = clock_mono_us() + (uint64_t)valid_s * 1000000;
	copy->credential = put_text(&at, credential);
	copy->person.username = put_text(&at, facts->username);
	copy->person.agents = put_text(&at, facts->agents);
	copy->n_refs = 1;
	list_init(&copy->node);
	return copy;
}

struct person *people_add(struct people *people, uint64_t era, struct str credential, const struct person *facts, int64_t expires_in_s)
{
	struct copy *copy = copy_new(credential, facts, expires_in_s), *old = find(people, credential);

	if (era != people->era)
		return &copy->person;
	if (old)
		drop(people, old);
	if (people->n >= PEOPLE_MAX)
		drop(people, CONTAINER_OF(people->used.next, struct copy, node));
	if (!tsearch(copy, &people->tree, compare))
		return &copy->person; /* no memory for the tree: it is not kept */
	list_push(&people->used, &copy->node);
	people->n++;
	return person_ref(&copy->person);
}

/* There are at most PEOPLE_MAX: looking at each takes less than what made the change. */
void people_forget(struct people *people, struct str kind, struct str id)
{
	bool user = str_eq(kind, STR("user")), credential = str_eq(kind, STR("login")) || str_eq(kind, STR("key"));
	struct list *node = people->used.next;

	if (kind.len == 0) {
		people->era++;
		drop_all(people);
	}
	if (!user && !credential)
		return;
	people->era++;
	while (node != &people->used) {
		struct copy *copy = CONTAINER_OF(node, struct copy, node);

		node = node->next;
		if (str_eq(id, uuid_str(user ? &copy->person.user_id : &copy->person.credential_id)))
			drop(people, copy);
	}
}
