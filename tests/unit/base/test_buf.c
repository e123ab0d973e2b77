/* The growing buffer, and the intrusive list beside it. */
#include "base/buf.h"

#include "base/list.h"
#include "tests/unit/support.h"

static void grows_and_keeps_what_it_has(void **state)
{
	struct buf b = {0};

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_add_char(&b, (char)('a' + i % 26));
	assert_int_equal(b.len, 100000);
	assert_true(b.size >= b.len);
	assert_true(b.size <= 4 * b.len);
	for (int i = 0; i < 100000; i++)
		assert_int_equal(b.p[i], 'a' + i % 26);
	buf_fini(&b);
	assert_null(b.p);
	assert_int_equal(b.len + b.size, 0);
	buf_fini(&b);
}

static void adds_nothing_gracefully(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_add(&b, NULL, 0);
	buf_add_str(&b, (struct str){NULL, 0});
	buf_add_cstr(&b, "");
	buf_printf(&b, "%s", "");
	buf_drop(&b, 0);
	assert_int_equal(b.len, 0);
	assert_int_equal(buf_str(&b).len, 0);
	buf_fini(&b);
}

static void makes_room_for_exactly_what_is_asked(void **state)
{
	struct buf b = {0};

	(void)state;
	for (size_t n = 1; n < 3000; n += 7) {
		memset(buf_reserve(&b, n), 'x', n);
		b.len += n;
	}
	assert_non_null(buf_reserve(&b, 0));
	buf_fini(&b);
	memset(buf_reserve(&b, 20 * 1024 * 1024), 'x', 20 * 1024 * 1024);
	assert_int_equal(b.len, 0);
	buf_fini(&b);
}

static void prints_at_its_end(void **state)
{
	struct buf b = {0};
	char long_text[1000];

	(void)state;
	memset(long_text, 'y', sizeof(long_text));
	buf_add_str(&b, STR("a"));
	buf_printf(&b, "%d|%s", -5, "z");
	assert_text(buf_str(&b), "a-5|z");
	buf_printf(&b, "%.*s", (int)sizeof(long_text), long_text);
	assert_int_equal(b.len, 1005);
	buf_fini(&b);
}

static void drops_from_the_front(void **state)
{
	struct buf b = {0};

	(void)state;
	buf_add_str(&b, STR("abcdef"));
	buf_drop(&b, 2);
	assert_text(buf_str(&b), "cdef");
	buf_drop(&b, 0);
	buf_drop(&b, 4);
	assert_int_equal(b.len, 0);
	buf_add_str(&b, STR("x"));
	assert_text(buf_str(&b), "x");
	buf_fini(&b);
}

struct item {
	struct list node;
	char name;
};

static void assert_order(const struct list *head, const char *expected)
{
	const struct list *back = head;

	for (const struct list *l = head->next; l != head; l = l->next) {
		assert_int_equal(CONTAINER_OF((void *)(uintptr_t)l, struct item, node)->name, *expected);
		assert_ptr_equal(l->prev, back);
		back = l;
		expected++;
	}
	assert_int_equal(*expected, '\0');
}

static void a_list_keeps_its_order_through_everything(void **state)
{
	struct item a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
	struct list head, other;

	(void)state;
	list_init(&head);
	list_init(&other);
	assert_true(list_empty(&head));
	assert_true(list_empty(&a.node)); /* all zero */
	assert_null(list_pop(&head));
	list_push(&head, &b.node);
	list_push(&head, &c.node);
	list_push_front(&head, &a.node);
	assert_order(&head, "abc");
	assert_false(list_empty(&b.node));
	list_remove(&b.node);
	list_remove(&b.node);
	assert_true(list_empty(&b.node));
	assert_order(&head, "ac");
	list_push(&other, &b.node);
	list_move_all(&other, &head);
	assert_order(&other, "bac");
	assert_true(list_empty(&head));
	list_move_all(&other, &head);
	assert_order(&other, "bac");
	list_move_all(&head, &other);
	assert_order(&head, "bac");
	assert_ptr_equal(list_pop(&head), &b.node);
	assert_order(&head, "ac");
	b = (struct item){.name = 'b'};
	list_remove(&b.node); /* in no list, all zero */
	assert_ptr_equal(list_pop(&head), &a.node);
	assert_ptr_equal(list_pop(&head), &c.node);
	assert_true(list_empty(&head));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_and_keeps_what_it_has),
		cmocka_unit_test(adds_nothing_gracefully),
		cmocka_unit_test(makes_room_for_exactly_what_is_asked),
		cmocka_unit_test(prints_at_its_end),
		cmocka_unit_test(drops_from_the_front),
		cmocka_unit_test(a_list_keeps_its_order_through_everything),
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
