/* How long ago, for people. */
#pragma once
#include <stdint.h>

enum { AGE_SIZE = 24 };

/* 59s, 12m, 5h, 3d */
const char *age(int64_t ms, char out[AGE_SIZE]);
