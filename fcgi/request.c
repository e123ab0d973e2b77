/* The only file that knows libfcgi. */
#include "fcgi/request.h"

#include <errno.h>
#include <fcgiapp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/log.h"
#include "fcgi/record.h"

enum { MAX_PARAMS = 512 };

static int scratch_fd = -1; /* the memfd that libfcgi reads; kept, since making one costs more than filling it */

void request_libfcgi_init(void)
{
	if (FCGX_Init() != 0)
		abort();
}

/* Writes BEGIN, PARAMS and the empty PARAMS into the memfd. */
static bool fill_scratch(struct str content)
{
	static const unsigned char begin[] = {1, RECORD_BEGIN, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0}; /* responder, keep_conn */
	unsigned char headers[RECORD_MAX_PARAMS / RECORD_MAX_CONTENT + 2][RECORD_HEADER_BYTES];
	struct iovec iov[2 * N_ELEMENTS(headers) + 1];
	size_t total = 0;
	int n = 0, n_headers = 0;
	union {
		const void *in;
		void *out;
	} unconst = {.in = begin}; /* struct iovec has no const */

	iov[n++] = (struct iovec){unconst.out, sizeof(begin)};
	for (;;) {
		size_t len = content.len < RECORD_MAX_CONTENT ? content.len : RECORD_MAX_CONTENT;

		record_header(headers[n_headers], RECORD_PARAMS, 1, (uint16_t)len);
		iov[n++] = (struct iovec){headers[n_headers++], RECORD_HEADER_BYTES};
		if (len == 0)
			break;
		unconst.in = content.p;
		iov[n++] = (struct iovec){unconst.out, len};
		content = str_skip(content, len);
	}
	for (int i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (scratch_fd < 0)
		scratch_fd = memfd_create("fcgi-params", MFD_CLOEXEC);
	return scratch_fd >= 0 && lseek(scratch_fd, 0, SEEK_SET) == 0 && writev(scratch_fd, iov, n) == (ssize_t)total &&
	       ftruncate(scratch_fd, (off_t)total) == 0 && lseek(scratch_fd, 0, SEEK_SET) == 0;
}

static void copy_params(char **envp, struct arena *arena, struct params *out)
{
	size_t n = 0;

	while (envp[n])
		n++;
	out->list = arena_alloc(arena, n * sizeof(*out->list));
	for (out->n = 0; out->n < n; out->n++) {
		struct str value = arena_copy(arena, str_from(envp[out->n])), name = str_cut(&value, '=');

		out->list[out->n] = (struct param){name, value};
	}
}

int request_read_params(struct str content, struct arena *arena, struct params *out)
{
	FCGX_Request request;
	size_t n;
	int result;

	*out = (struct params){0};
	/* Checked first: libfcgi allocates whatever a pair claims to need. */
	if (content.len > RECORD_MAX_PARAMS || !record_params_valid(content, &n) || n > MAX_PARAMS)
		return -1;
	if (!fill_scratch(content)) {
		log_error(NULL, "params_scratch_failed", "errno", errno);
		return -1;
	}
	FCGX_InitRequest(&request, -1, 0);
	request.ipcFd = scratch_fd;
	request.keepConnection = 1;
	result = FCGX_Accept_r(&request);
	if (result == 0 && FCGX_GetError(request.in) != 0)
		result = -1;
	if (result == 0)
		copy_params(request.envp, arena, out);
	else
		scratch_fd = -1; /* libfcgi has closed it */
	FCGX_Free(&request, 0);
	return result == 0 ? 0 : -1;
}

struct str params_get(const struct params *params, const char *name)
{
	for (size_t i = 0; i < params->n; i++)
		if (str_eq_cstr(params->list[i].name, name))
			return params->list[i].value;
	return (struct str){"", 0};
}

size_t params_count(const struct params *params, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < params->n; i++)
		n += str_eq_cstr(params->list[i].name, name);
	return n;
}
