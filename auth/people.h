/* Who holds a login or an API key: this process's own copies, so that a request with a token asks nobody. A copy is dropped when what it
 * says has changed (db/changes) and asked for again after some minutes in any case; the least used go when there are too many. */
#pragma once
#include "base/uuid.h"
#include "db/keys.h"

enum { PEOPLE_MAX = 10000, PEOPLE_MAX_AGE_S = 300 };

enum person_by { PERSON_BY_LOGIN, PERSON_BY_KEY };

/* Immutable; kept with person_ref for as long as a request lasts. */
struct person {
	enum person_by by;
	struct uuid user_id;
	struct uuid credential_id; /* of the login or the key */
	bool is_admin;
	struct str username;
	struct str agents;        /* of a key that opens some agents only: JSON array of their ids; else empty */
	struct key_limits limits; /* of a key */
	uint64_t valid_until_us;  /* clock_mono_us: the copy is not used after that */
};

struct person *person_ref(struct person *person);
void person_unref(struct person *person); /* NULL is fine */
/* May the holder talk to this agent? */
bool person_may_use_agent(const struct person *person, struct str agent_id);

struct people *people_new(void);
void people_free(struct people *people); /* NULL is fine; who holds a reference may go on */
/* By a login's id or the hash of a key; NULL if there is no copy, or it is too old. Borrowed until the loop turn ends. */
struct person *people_find(struct people *people, struct str credential);
/* To be noted before the database is asked. What is forgotten meanwhile may concern the answer, which is then not kept. */
uint64_t people_era(const struct people *people);
/* Keeps a copy of facts, under credential. expires_in_s: the key's; 0: it does not expire. Returns a reference for the caller. */
struct person *people_add(struct people *people, uint64_t era, struct str credential, const struct person *facts, int64_t expires_in_s);
/* kind and id as db/changes.h has them; kinds that are no one's are passed over. */
void people_forget(struct people *people, struct str kind, struct str id);
