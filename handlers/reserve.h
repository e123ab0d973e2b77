/* What the turn that is about to begin may take of its agent's and its API key's limits. A part of the step "begin_turn". */
#pragma once
#include "handlers/flow.h"

struct request;
struct turn_request;

/* NEXT: r->reservation, if anything limits this turn; turn_start takes it. WAIT: reserve_finish tells. Else the request has been refused. */
enum flow_next reserve_start(struct request *r, const struct turn_request *turn);
enum flow_next reserve_finish(struct request *r);
