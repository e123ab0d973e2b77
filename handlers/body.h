/* A step that several routes share: the JSON body. */
#pragma once
#include "handlers/flow.h"

/* Leaves the parsed object in r->body; refuses what is too large, not JSON, or no object. Large bodies are parsed in slices. */
enum flow_next body_start(struct request *r);
/* The same for JSON_CAPS_IMPORT. */
enum flow_next body_import_start(struct request *r);
