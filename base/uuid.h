/* UUID version 7 (RFC 9562): ids that sort by the time they were made. */
#pragma once
#include "base/str.h"

enum { UUID_TEXT_SIZE = 37 }; /* with its NUL */

struct uuid {
	char text[UUID_TEXT_SIZE];
};

/* Later ids of one process always sort after earlier ones. */
struct uuid uuid_new(void);
bool uuid_valid(struct str text);
/* A copy of a valid id; empty if text is none. */
struct uuid uuid_from(struct str text);

static inline struct str uuid_str(const struct uuid *id)
{
	return (struct str){id->text, UUID_TEXT_SIZE - 1};
}
