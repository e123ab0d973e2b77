/* llmchatctl db status: a page about the database. */
#pragma once
#include "base/str.h"

struct accounts;

/* Prints it. EXIT_FINE; EXIT_FAILED if something needs the operator's hand, or could not be found out. */
MUST_CHECK int db_status(struct accounts *a);
