/* Responses that are sent in one go, and the head of every response. */
#ifndef SIM_REPLY_H
#define SIM_REPLY_H

struct buf;
struct conn;

/* Adds the head of a response to out. extra is header lines or "". Without a length (-1) the body is to be
 * chunked, or for HTTP/1.0 ends with the connection. */
void reply_add_head(struct conn *conn, struct buf *out, int status, const char *type, const char *extra, long long length_bytes);

/* Answers with JSON, and the request is over. */
void reply_json(struct conn *conn, int status, const char *extra, const struct buf *json);

/* Answers with an error as error_add() shapes it. */
void reply_error(struct conn *conn, int status, const char *message, const char *param, const char *code);

#endif
