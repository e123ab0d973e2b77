/* Writing arrays as text. */
#include "db/text_array.h"

static void before_element(struct buf *array)
{
	buf_add_char(array, array->len ? ',' : '{');
}

void text_array_add(struct buf *array, struct str element)
{
	size_t start = 0;

	before_element(array);
	buf_add_char(array, '"');
	for (size_t i = 0; i < element.len; i++) {
		if (element.p[i] != '"' && element.p[i] != '\\')
			continue;
		buf_add(array, element.p + start, i - start);
		buf_add_char(array, '\\');
		start = i;
	}
	buf_add_str(array, str_skip(element, start));
	buf_add_char(array, '"');
}

void text_array_add_int(struct buf *array, int64_t element)
{
	before_element(array);
	buf_printf(array, "%lld", (long long)element);
}

void text_array_add_null(struct buf *array)
{
	before_element(array);
	buf_add_str(array, STR("NULL"));
}

void text_array_close(struct buf *array)
{
	if (array->len == 0)
		buf_add_char(array, '{');
	buf_add_char(array, '}');
}
