/* How an exported session looks, piece by piece. Pure: what goes out when is handlers/session_export.c's. */
#pragma once
#include "base/buf.h"

struct message_row;
struct session_row;

enum export_format { EXPORT_JSON, EXPORT_CSV, EXPORT_MARKDOWN, N_EXPORT_FORMATS };

/* "json", "csv", "markdown". False: none of them. */
MUST_CHECK bool export_format_named(struct str name, enum export_format *format);
/* For Content-Type. */
const char *export_media_type(enum export_format format);

/* The bytes before the first message, one message (first: is it the first?), and the bytes after the last one. */
void export_begin(struct buf *out, enum export_format format, const struct session_row *session, const char *exported_at);
void export_message(struct buf *out, enum export_format format, const struct message_row *m, bool first);
void export_end(struct buf *out, enum export_format format);

/* One cell of CSV (RFC 4180), always between quotes. What a spreadsheet would take for a formula gets an apostrophe before it. */
void export_csv_cell(struct buf *out, struct str text);
/* A Content-Disposition line with a name made of the title: nothing in it can be a path or a header, or turn the letters round. A reader who
 * knows no UTF-8 sees the first characters of the session's id. */
void export_disposition(struct buf *out, enum export_format format, struct str title, struct str id);
