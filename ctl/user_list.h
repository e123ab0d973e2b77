/* llmchatctl user list: all users, however many, page by page. */
#pragma once

struct accounts;

/* Both print to standard output and return the exit status. */
int user_list(struct accounts *a);
int user_list_json(struct accounts *a);
