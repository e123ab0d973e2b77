/* Which answer a request gets. */
#ifndef SIM_ROUTE_H
#define SIM_ROUTE_H

struct conn;

/* Answers the request that conn has read, now or later. */
void route_request(struct conn *conn);

#endif
