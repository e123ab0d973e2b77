/* Pages of lists. */
#include "handlers/page.h"

#include "handlers/request.h"

bool page_read(struct request *r, struct page *page, int64_t max_size)
{
	page->number = 1;
	return request_query_int(r, "page", 1, 1000000, &page->number) && request_query_int(r, "pageSize", 1, max_size, &page->size);
}

enum flow_next page_reply(struct request *r, struct str data, const struct page *page, int64_t total)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_add_int(&w, "page", page->number);
	json_add_int(&w, "pageSize", page->size);
	json_add_int(&w, "total", total);
	json_add_int(&w, "totalPages", (total + page->size - 1) / page->size);
	json_close(&w, '}');
	request_reply(r, data, buf_str(&b));
	buf_fini(&b);
	return FLOW_DONE;
}

enum flow_next page_reply_rows(struct request *r, int64_t (*put)(struct json_writer *w, const struct query *q, size_t i))
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};
	int64_t total = 0;

	if (r->query->op.err)
		return request_reject(r, r->query->op.err);
	json_open(&w, '[');
	for (size_t i = 0; i < query_n_rows(r->query); i++)
		total = put(&w, r->query, i);
	json_close(&w, ']');
	page_reply(r, buf_str(&b), r->state, total);
	buf_fini(&b);
	return FLOW_DONE;
}
