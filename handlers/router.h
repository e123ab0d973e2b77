/* The table of all routes. */
#pragma once
#include <stdio.h>

#include "base/str.h"

struct request;
struct step;

enum route_who {
	WHO_PROBE,  /* anybody, and not counted: it is asked to see whether we live */
	WHO_PUBLIC, /* anybody */
	WHO_OPEN,   /* anybody; whoever sends a token or a key is known by it */
	WHO_OWNER,  /* somebody whose rows they are: a user, or an anonymous visitor where CHAT_ANONYMOUS allows that */
	WHO_USER,   /* somebody with a token, or a key that is not for certain agents only */
	WHO_LOGIN,  /* somebody who has logged in: a key does not do */
	WHO_ADMIN,  /* an administrator who has logged in */
};

struct route {
	const char *method, *pattern; /* :name is a parameter, one whole segment */
	enum route_who who;
	bool streams; /* nginx must not buffer it */
	const struct step *steps;
};

/* Finds the route of the request, sets r->route, r->face and its path parameters, and returns the steps; those of a refusal if there is none. */
const struct step *router_find(struct request *r);
/* "Allow: …" with the methods that the request's path takes. */
void router_put_allow(const struct request *r, char *out, size_t size);
/* One route a line: method, pattern, who, stream or plain, with tabs between. */
void router_print(FILE *out);
