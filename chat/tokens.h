/* How many tokens a text is, about, when nobody says. */
#pragma once
#include "base/str.h"

/* One for every character beyond ASCII (Chinese is about that), one for every four bytes of ASCII, rounded up. */
int64_t tokens_estimate(struct str text);
