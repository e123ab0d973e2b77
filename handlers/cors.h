/* Pages of other origins: only that of FRONTEND_URL may use the API from a browser. */
#pragma once
#include "handlers/flow.h"

struct buf;

/* Answers OPTIONS: what a browser asks before it sends what is not simple, and whoever wants to know the methods. */
extern const struct step cors_options_steps[];
/* May the page that sent this request read the answer? Asked once, while its parameters are there. */
bool cors_allows(const struct request *r);
/* The headers that let a page of FRONTEND_URL read the answer; none for anybody else. */
void cors_put(const struct request *r, struct buf *out);
