/* ?page and ?pageSize, and the pagination of the answer. */
#pragma once
#include "base/json.h"
#include "handlers/flow.h"

struct query;
struct request;

struct page {
	int64_t number, size; /* from 1 */
};

/* Reads both; page->size is the default. False: the request has been refused. */
MUST_CHECK bool page_read(struct request *r, struct page *page, int64_t max_size);
static inline int64_t page_offset(const struct page *page)
{
	return (page->number - 1) * page->size;
}
/* Answers with a list: data is a JSON array of this page, total counts all. */
enum flow_next page_reply(struct request *r, struct str data, const struct page *page, int64_t total);
/* The same for the rows of r->query, or refuses if it has failed; r->state is the page. put writes row i and returns the total, which
 * every row carries. */
enum flow_next page_reply_rows(struct request *r, int64_t (*put)(struct json_writer *w, const struct query *q, size_t i));
