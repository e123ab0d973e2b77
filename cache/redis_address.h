/* Where Redis is, for connect(): numeric addresses, or the path of a unix socket. No name is looked up here. */
#pragma once
#include <stdint.h>
#include <sys/socket.h>

/* Takes the first of the addresses with commas between; *addresses is what follows, NULL if nothing does. Returns the length, 0 if
 * it is no address. */
socklen_t redis_address_take(const char **addresses, uint16_t port, struct sockaddr_storage *out);
/* 0 if the path is too long. */
socklen_t redis_address_path(const char *path, struct sockaddr_storage *out);
