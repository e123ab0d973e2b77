/* An intrusive, circular, doubly linked list. A node that is in no list points to itself (or is all zero). */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next, *prev;
};

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

static inline void list_init(struct list *l)
{
	l->next = l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
	return l->next == l || l->next == NULL;
}

static inline void list_push(struct list *head, struct list *node) /* at the end */
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void list_push_front(struct list *head, struct list *node)
{
	list_push(head->next, node);
}

/* Also right for a node that is in no list. */
static inline void list_remove(struct list *node)
{
	if (node->next) {
		node->prev->next = node->next;
		node->next->prev = node->prev;
	}
	list_init(node);
}

/* Removes and returns the first node; NULL if there is none. */
static inline struct list *list_pop(struct list *head)
{
	struct list *node = head->next;

	if (list_empty(head))
		return NULL;
	list_remove(node); /* NOLINT(clang-analyzer-unix.Malloc): the analyzer loses track of intrusive lists */
	return node;
}

/* Moves all nodes of from to the end of to. */
static inline void list_move_all(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}
