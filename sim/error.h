/* Errors as OpenAI shapes them. */
#ifndef SIM_ERROR_H
#define SIM_ERROR_H

struct buf;

/* Adds `{"error":{…}}`. The type and, when code is NULL, the code follow from the HTTP status;
 * so does the message when it is NULL. param may be NULL. */
void error_add(struct buf *out, int status, const char *message, const char *param, const char *code);

/* The reason phrase of an HTTP status. */
const char *error_reason(int status);

#endif
