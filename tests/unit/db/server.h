/* A private PostgreSQL for tests: its own directory, a unix socket, the role llmchat with a password. It dies with the test. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#define SERVER_PASSWORD "correct-horse-battery"

struct server {
	char dir[64]; /* holds the socket and the data; DB_HOST */
	char bin[128];
	uid_t uid; /* PostgreSQL refuses to be root */
	gid_t gid;
	pid_t pid; /* 0: not running */
};

/* Makes a cluster and starts it; ends the test program with a sentence if it cannot. */
void server_init(struct server *s);
/* Stops it and removes the directory. */
void server_fini(struct server *s);
/* Returns when connections are accepted. */
void server_start(struct server *s);
/* A fast shutdown; returns when it is down. */
void server_stop(struct server *s);
