/* The steps before every route's own: who asks, is it too much (handlers/limit), and may he? The route table says who may. */
#pragma once
#include "db/audit.h"
#include "handlers/flow.h"

extern const struct step access_steps[];

/* Who asks, for the audit log; borrowed from the request. */
struct audit_who access_who(const struct request *r);
/* Is he an administrator who has logged in? For routes that are open to others too. */
bool access_is_admin(const struct request *r);
