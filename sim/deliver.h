/* How an answer's bytes leave: heads, chunks, and byte by byte when the script wants that. */
#ifndef SIM_DELIVER_H
#define SIM_DELIVER_H

struct buf;
struct play;

/* Sends the head of a response whose body follows in parts; type and extra as in reply_add_head(). */
void deliver_head(struct play *play, int status, const char *type, const char *extra, long long length_bytes);

/* Returns an empty buffer for the next part of a body. */
struct buf *deliver_begin_part(struct play *play);

/* Sends the part. With play->last_sent it ends the body, and may be empty; play may be gone afterwards. */
void deliver_part(struct play *play);

/* Sends head and body of an answer that is not a stream; play may be gone afterwards. */
void deliver_whole(struct play *play, int status, const char *type, const char *extra, const struct buf *body);

#endif
