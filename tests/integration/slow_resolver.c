/* A name server that takes three seconds over every name below .slow.test, which then turns out to be this machine. Preloaded into a
 * responder by faults.py; all other names are looked up as ever. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <unistd.h>

enum { TAKES_S = 3 };

typedef int look_up(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	static const char suffix[] = ".slow.test";
	look_up *real = (look_up *)dlsym(RTLD_NEXT, "getaddrinfo");
	size_t len = node ? strlen(node) : 0;

	if (len > sizeof(suffix) - 1 && strcmp(node + len - (sizeof(suffix) - 1), suffix) == 0) {
		sleep(TAKES_S);
		node = "127.0.0.1";
	}
	return real(node, service, hints, out);
}
