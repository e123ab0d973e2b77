/* HTTP calls to providers: libcurl's multi interface on our loop. Names are looked up by net/resolver, so that nothing here waits
 * for a name server; proxies of the environment and redirects are ignored. */
#pragma once
#include "base/buf.h"
#include "base/op.h"

struct loop;
struct resolver;
struct http;

struct http *http_new(struct loop *loop, struct resolver *resolver);
/* Ends whatever is still in flight without telling anybody. */
void http_free(struct http *http);
/* Trusts the certificate authorities of this PEM file for https, and none else: those of the system do not count any more.
 * path is borrowed until http_free. */
void http_trust(struct http *http, const char *path);
/* Is url an absolute http or https address with a host? */
bool http_url_valid(const char *url);

enum { HTTP_CONTENT_TYPE_SIZE = 64 };

/* One call; storage belongs to the caller, who may free it in op.done or after op_cancel. */
struct http_call {
	/* When the answer is complete. op.err: 0; -ERR_UPSTREAM (refused, reset, not HTTP, TLS not trusted);
	 * -ERR_UPSTREAM_TIMEOUT (name or connection took longer than connect_ms); -ERR_OVERLOADED (we have run out of descriptors). There is no deadline beyond connecting:
	 * whoever streams knows better, and cancels. After op_cancel the connection is closed within this loop turn. */
	struct op op;
	/* Once, when the header is there; then for each piece of the body. They may cancel the call. */
	void (*on_headers)(struct http_call *call);
	void (*on_body)(struct http_call *call, struct str bytes);
	/* Valid from on_headers on: */
	int status;
	int retry_after_s;                         /* of Retry-After in seconds, else -1 */
	char content_type[HTTP_CONTENT_TYPE_SIZE]; /* lower case, without parameters; cut if longer */
	const char *failure;                       /* in done, if err: a few words for the log, borrowed from libcurl */
	struct transfer *transfer;                 /* the client's own */
};

struct http_post {
	const char *url;
	const char *const *headers; /* "Name: value", n_headers of them */
	size_t n_headers;
	struct buf body; /* ownership moves to the client */
	uint64_t connect_ms;
};

/* Set call->op.done, on_headers and on_body first. */
void http_post_start(struct http *http, struct http_call *call, struct http_post *post);
