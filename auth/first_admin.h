/* Makes the administrator of ADMIN_USERNAME and ADMIN_PASSWORD if there is none at all, once the database can be asked. */
#pragma once

struct conf;
struct loop;
struct passwords;
struct pool;

struct first_admin;

/* Asks until it has an answer, then rests. All pointers are borrowed until first_admin_free. */
struct first_admin *first_admin_new(struct loop *loop, struct pool *pool, struct passwords *passwords, const struct conf *conf);
void first_admin_free(struct first_admin *f); /* NULL is fine */
