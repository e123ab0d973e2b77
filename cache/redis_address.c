/* Texts to socket addresses. */
#include "cache/redis_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "base/str.h"

socklen_t redis_address_take(const char **addresses, uint16_t port, struct sockaddr_storage *out)
{
	struct str rest = str_from(*addresses), address = str_cut(&rest, ',');
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	char text[INET6_ADDRSTRLEN];

	*addresses = rest.p;
	snprintf(text, sizeof(text), "%.*s", STR_ARG(address));
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
		memcpy(out, &v4, sizeof(v4));
		return sizeof(v4);
	}
	if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
		memcpy(out, &v6, sizeof(v6));
		return sizeof(v6);
	}
	return 0;
}

socklen_t redis_address_path(const char *path, struct sockaddr_storage *out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(address.sun_path))
		return 0;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	memcpy(out, &address, sizeof(address));
	return sizeof(address);
}
