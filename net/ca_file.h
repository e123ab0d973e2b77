/* A look at a file of certificate authorities before libcurl is told of it: at a start its owner can still be asked. */
#pragma once
#include "base/str.h"

/* Can it be read, and does it hold a certificate in PEM form? Blocks: for the start only.
 * Returns 0, or -1 with a sentence for the operator in why; name is the variable that names the file. */
MUST_CHECK int ca_file_check(const char *name, const char *path, char *why, size_t why_size);
