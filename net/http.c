/* libcurl on the loop. A transfer belongs to the client, not to the caller: a cancelled one just forgets its caller and is taken
 * out of libcurl at the end of the turn, because that must not happen inside libcurl's own callbacks. */
#include "net/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "net/resolver.h"

#define SHORTAGE "this server has run out of descriptors or memory"

enum { RECEIVE_BYTES = 4096, KEPT_CONNECTIONS = 2048, SMALL_BODY_BYTES = 4096 };

struct http {
	struct loop *loop;         /* borrowed */
	struct resolver *resolver; /* borrowed */
	CURLM *multi;
	struct timer timer;
	struct list transfers;
	const char *ca_file; /* borrowed; NULL: wherever libcurl looks by itself */
};

/* A socket of libcurl's that we watch. */
struct socket {
	struct http *http;
	curl_socket_t fd;
	struct watch watch;
};

struct transfer {
	struct list node; /* in http->transfers */
	struct http *http;
	struct http_call *call; /* NULL once cancelled */
	struct resolve resolve;
	CURL *easy;
	CURLU *url;
	bool added;     /* to the multi handle */
	bool answered;  /* on_headers has been called */
	bool no_socket; /* there was none to be had for it */
	struct curl_slist *headers, *addresses;
	struct buf body; /* until the answer's header is there */
	size_t n_sent;   /* of body */
	struct defer remove;
	char error[CURL_ERROR_SIZE];
};

static void finish_done_ones(struct http *http);

static void on_socket_ready(void *arg, int events)
{
	struct socket *s = arg;
	struct http *http = s->http;
	int n_running, mask = (events & WATCH_READ ? CURL_CSELECT_IN : 0) | (events & WATCH_WRITE ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(http->multi, s->fd, mask, &n_running); /* s may be gone now */
	finish_done_ones(http);
}

static int on_socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned)
{
	struct http *http = arg;
	struct socket *s = assigned;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (s) {
			watch_fini(&s->watch);
			free(s);
			curl_multi_assign(http->multi, fd, NULL);
		}
		return 0;
	}
	if (!s) {
		s = mem_alloc(sizeof(*s));
		s->http = http;
		s->fd = fd;
		watch_init(&s->watch, http->loop, fd, on_socket_ready, s);
		curl_multi_assign(http->multi, fd, s);
	}
	watch_set(&s->watch, (what & CURL_POLL_IN ? WATCH_READ : 0) | (what & CURL_POLL_OUT ? WATCH_WRITE : 0));
	return 0;
}

static void on_timer(void *arg)
{
	struct http *http = arg;
	int n_running;

	curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
	finish_done_ones(http);
}

static int on_timer_wanted(CURLM *multi, long timeout_ms, void *arg)
{
	struct http *http = arg;

	(void)multi;
	if (timeout_ms < 0)
		timer_stop(&http->timer);
	else
		timer_start(&http->timer, (uint64_t)timeout_ms);
	return 0;
}

/* All authorities of the system in one file, or NULL. libcurl keeps what it has read of a file, but not if it is to look into
 * a directory of them as well (Debian's default): then every connection would read 140 certificates anew, and hold us up for 37 ms. */
static const char *system_ca_file(void)
{
	const char *path = curl_version_info(CURLVERSION_NOW)->cainfo;

	return path && access(path, R_OK) == 0 ? path : NULL;
}

struct http *http_new(struct loop *loop, struct resolver *resolver)
{
	struct http *http = mem_alloc(sizeof(*http));

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		abort();
	http->loop = loop;
	http->ca_file = system_ca_file();
	http->resolver = resolver;
	list_init(&http->transfers);
	timer_init(&http->timer, loop, on_timer, http);
	http->multi = curl_multi_init();
	if (!http->multi)
		mem_exhausted(0);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket_wanted);
	curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer_wanted);
	curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
	curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
	return http;
}

void http_trust(struct http *http, const char *path)
{
	http->ca_file = path;
}

static void free_transfer(struct transfer *t)
{
	op_cancel(&t->resolve.op);
	if (t->added)
		curl_multi_remove_handle(t->http->multi, t->easy);
	if (t->easy)
		curl_easy_cleanup(t->easy);
	curl_url_cleanup(t->url);
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->addresses);
	buf_fini(&t->body);
	defer_cancel(&t->remove);
	list_remove(&t->node);
	free(t);
}

void http_free(struct http *http)
{
	while (!list_empty(&http->transfers))
		free_transfer(CONTAINER_OF(http->transfers.next, struct transfer, node)); /* NOLINT: as in base/list.h */
	curl_multi_cleanup(http->multi);
	timer_fini(&http->timer);
	free(http);
	curl_global_cleanup();
}

bool http_url_valid(const char *url)
{
	CURLU *u = curl_url();
	char *host = NULL, *scheme = NULL;
	bool valid = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		     curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		     (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);

	curl_free(host);
	curl_free(scheme);
	curl_url_cleanup(u);
	return valid;
}

static void take_status(struct http_call *call, struct str line)
{
	int64_t status = 0;

	str_cut(&line, ' ');
	if (str_to_i64(str_trim(str_cut(&line, ' ')), &status))
		call->status = (int)status;
	call->retry_after_s = -1;
	call->content_type[0] = '\0';
}

static void take_header(struct http_call *call, struct str line)
{
	struct str name = str_cut(&line, ':'), value = str_trim(line);
	int64_t seconds;

	if (str_eq_nocase(name, STR("content-type"))) {
		value = str_trim(str_cut(&value, ';'));
		snprintf(call->content_type, sizeof(call->content_type), "%.*s", STR_ARG(value));
		for (char *p = call->content_type; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p | 0x20);
	} else if (str_eq_nocase(name, STR("retry-after")) && str_to_i64(value, &seconds) && seconds >= 0 && seconds <= 86400) {
		call->retry_after_s = (int)seconds;
	}
}

/* libcurl would not tell a lack of our own from a provider that refuses us. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct transfer *t = arg;
	int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);

	(void)purpose;
	if (fd < 0 && err_is_shortage(errno))
		t->no_socket = true;
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static size_t on_body_wanted(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = t->body.len - t->n_sent < size * n ? t->body.len - t->n_sent : size * n;

	if (len)
		memcpy(p, t->body.p + t->n_sent, len);
	t->n_sent += len;
	return len;
}

/* libcurl starts anew when a connection that it kept turns out to be dead. */
static int on_body_rewind(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;

	if (origin != SEEK_SET || offset < 0 || (size_t)offset > t->body.len)
		return CURL_SEEKFUNC_FAIL;
	t->n_sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

/* The provider has it all: a long stream need not keep a long question. */
static void drop_body(struct transfer *t)
{
	if (t->body.len > SMALL_BODY_BYTES && t->n_sent == t->body.len) {
		buf_fini(&t->body);
		t->n_sent = 0;
	}
}

/* The types of these two are libcurl's.
 * libcurl hands over one header line at a time, with its line end. NOLINTNEXTLINE(readability-non-const-parameter) */
static size_t on_header_line(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	struct str line = {p, size * n};

	if (!t->call)
		return 0;
	while (line.len > 0 && (line.p[line.len - 1] == '\n' || line.p[line.len - 1] == '\r'))
		line.len--;
	if (str_starts(line, STR("HTTP/"))) {
		take_status(t->call, line);
	} else if (line.len > 0) {
		take_header(t->call, line);
	} else if (t->call->status >= 200) { /* the blank line; 1xx are only notes */
		t->answered = true;
		drop_body(t);
		t->call->on_headers(t->call);
	}
	return t->call ? size * n : 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter) */
static size_t on_body_bytes(char *p, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	if (t->call)
		t->call->on_body(t->call, (struct str){p, size * n});
	return t->call ? size * n : 0;
}

static void remove_later(struct defer *d)
{
	free_transfer(CONTAINER_OF(d, struct transfer, remove));
}

static void cancel(struct op *op)
{
	struct transfer *t = CONTAINER_OF(op, struct http_call, op)->transfer;

	t->call = NULL;
	op_cancel(&t->resolve.op);
	loop_defer(t->http->loop, &t->remove, remove_later);
}

static void end_transfer(struct transfer *t, int err, const char *failure)
{
	struct http_call *call = t->call;

	t->call = NULL;
	loop_defer(t->http->loop, &t->remove, remove_later); /* failure may point into it */
	if (!call)
		return;
	call->failure = failure;
	op_finish(&call->op, err);
}

static bool is_our_lack(const struct transfer *t, CURLcode code)
{
	return code == CURLE_COULDNT_CONNECT && t->no_socket;
}

static const char *failure_of(const struct transfer *t, CURLcode code)
{
	if (is_our_lack(t, code))
		return SHORTAGE;
	return t->error[0] ? t->error : curl_easy_strerror(code);
}

static int err_of(const struct transfer *t, CURLcode code)
{
	if (code == CURLE_OK)
		return 0;
	if (is_our_lack(t, code))
		return -ERR_OVERLOADED;
	return code == CURLE_OPERATION_TIMEDOUT ? -ERR_UPSTREAM_TIMEOUT : -ERR_UPSTREAM;
}

static void finish_done_ones(struct http *http)
{
	CURLMsg *msg;
	int n_left;

	while ((msg = curl_multi_info_read(http->multi, &n_left))) {
		CURLcode code = msg->data.result;
		struct transfer *t;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		if (code == CURLE_OK && !t->answered) /* libcurl is content with half a header */
			code = CURLE_WEIRD_SERVER_REPLY;
		end_transfer(t, err_of(t, code), failure_of(t, code));
	}
}

/* The name is known: tell libcurl its address, so that it does not look for itself. */
static bool pin_address(struct transfer *t)
{
	char *host, *port, *line;
	bool pinned = false;

	if (curl_url_get(t->url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return false;
	if (host[0] == '[' || strcmp(host, t->resolve.addresses) == 0) { /* it is an address itself */
		curl_free(host);
		return true;
	}
	if (curl_url_get(t->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
		if (asprintf(&line, "%s:%s:%s", host, port, t->resolve.addresses) > 0) {
			t->addresses = curl_slist_append(NULL, line);
			free(line);
			pinned = t->addresses && curl_easy_setopt(t->easy, CURLOPT_RESOLVE, t->addresses) == CURLE_OK;
		}
		curl_free(port);
	}
	curl_free(host);
	return pinned;
}

static void on_resolved(struct op *op)
{
	struct transfer *t = CONTAINER_OF(op, struct transfer, resolve.op);

	if (op->err) {
		end_transfer(t, op->err, op->err == -ERR_OVERLOADED ? SHORTAGE : "the provider's host name has no address");
		return;
	}
	if (!pin_address(t) || curl_multi_add_handle(t->http->multi, t->easy) != CURLM_OK) {
		end_transfer(t, -ERR_INTERNAL, "libcurl refused the call");
		return;
	}
	t->added = true;
}

static void set_options(struct transfer *t, const struct http_post *post)
{
	CURL *easy = t->easy;

	curl_easy_setopt(easy, CURLOPT_CURLU, t->url);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	if (t->http->ca_file) {
		curl_easy_setopt(easy, CURLOPT_CAINFO, t->http->ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL); /* else the system's directory would be trusted as well */
	}
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)post->connect_ms);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header_line);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body_bytes);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body.len);
	if (t->body.len <= SMALL_BODY_BYTES) { /* goes out with the header in one write, and may stay */
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->body.p);
	} else {
		curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_body_wanted);
		curl_easy_setopt(easy, CURLOPT_READDATA, t);
		curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_body_rewind);
		curl_easy_setopt(easy, CURLOPT_SEEKDATA, t);
	}
	for (size_t i = 0; i < post->n_headers; i++)
		t->headers = curl_slist_append(t->headers, post->headers[i]);
	t->headers = curl_slist_append(t->headers, "Expect:"); /* no waiting for 100 Continue */
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, t->headers);
}

void http_post_start(struct http *http, struct http_call *call, struct http_post *post)
{
	struct transfer *t = mem_alloc(sizeof(*t));
	char *host_text = NULL;
	struct str host;

	list_push(&http->transfers, &t->node);
	list_init(&t->remove.node);
	t->http = http;
	t->call = call;
	t->body = post->body;
	post->body = (struct buf){0};
	t->easy = curl_easy_init();
	t->url = curl_url();
	if (!t->easy || !t->url)
		mem_exhausted(0);
	call->transfer = t;
	call->op.cancel = cancel;
	call->status = 0;
	call->retry_after_s = -1;
	call->content_type[0] = '\0';
	call->failure = NULL;
	if (curl_url_set(t->url, CURLUPART_URL, post->url, 0) == CURLUE_OK)
		curl_url_get(t->url, CURLUPART_HOST, &host_text, 0);
	host = str_from(host_text);
	if (host.len > 2 && host.p[0] == '[') /* an IPv6 address in a URL */
		host = (struct str){host.p + 1, host.len - 2};
	set_options(t, post);
	t->resolve.op.done = on_resolved;
	t->resolve.op.deadline_us = clock_mono_us() + post->connect_ms * 1000;
	resolve_start(http->resolver, &t->resolve, host);
	curl_free(host_text);
}
