/* The head of a request; for http.c only. */
#ifndef SIM_HTTP_HEAD_H
#define SIM_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>

struct http_request;

/* Reads the complete head in request->head, and sets the state that comes next. */
void http_read_head(struct http_request *request);

/* Sets HTTP_BAD. problem must be a constant. */
void http_fail(struct http_request *request, int status, const char *problem);

/* Reads digits of base 10 or 16, up to the end of text, a `;` or white space. Returns false for anything else.
 * Values beyond the largest body are all alike. */
bool http_read_size(const char *text, unsigned base, size_t *size);

#endif
