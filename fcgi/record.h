/* FastCGI records (FastCGI 1.0, section 3.3): encoding what we send, and a scanner of what a web server sends us.
 * The scanner collects one request; it knows nothing of sockets and never trusts a length. */
#pragma once
#include "base/buf.h"

enum record_type {
	RECORD_BEGIN = 1,
	RECORD_ABORT = 2,
	RECORD_END = 3,
	RECORD_PARAMS = 4,
	RECORD_STDIN = 5,
	RECORD_STDOUT = 6,
};

enum {
	RECORD_HEADER_BYTES = 8,
	RECORD_END_BYTES = 16, /* header and body of END_REQUEST */
	RECORD_MAX_CONTENT = 65535,
	RECORD_MAX_PARAMS = 128 * 1024,
};

enum record_protocol_status { RECORD_REQUEST_COMPLETE = 0, RECORD_CANT_MULTIPLEX = 1, RECORD_OVERLOADED = 2, RECORD_UNKNOWN_ROLE = 3 };

/* Writes the 8-byte header of a record whose content is len bytes, without padding. */
void record_header(unsigned char out[RECORD_HEADER_BYTES], enum record_type type, uint16_t id, uint16_t len);
/* Writes a whole END_REQUEST record. */
void record_end(unsigned char out[RECORD_END_BYTES], uint16_t id, enum record_protocol_status status);

/* One request being received. An all-zero scan waits for a BEGIN. */
struct record_scan {
	enum { SCAN_BEGIN, SCAN_PARAMS, SCAN_STDIN, SCAN_DONE } state;
	uint16_t id;
	bool keep_conn;       /* the peer wants the connection kept after the answer */
	bool body_too_large;  /* more came than max_body; body was dropped */
	size_t max_body;      /* set by the caller */
	struct buf params;    /* owned: concatenated PARAMS content */
	struct buf body;      /* owned: concatenated STDIN content */
};

enum scan_result {
	SCAN_MORE,       /* whole records are used up; more bytes are needed */
	SCAN_COMPLETE,   /* the request is all there */
	SCAN_ABORTED,    /* the peer no longer wants it */
	SCAN_BAD_ROLE,   /* a role other than responder */
	SCAN_BAD,        /* not FastCGI, or beyond the limits: close */
};

/* Takes as many whole records as there are in bytes; *used says how many bytes that was. *why is a fixed word when SCAN_BAD.
 * In SCAN_DONE only an ABORT of this request is understood; anything else is SCAN_BAD: we do not multiplex. */
enum scan_result record_scan(struct record_scan *scan, struct str bytes, size_t *used, const char **why);
/* Frees what was collected and waits for the next BEGIN. */
void record_scan_reset(struct record_scan *scan);

/* True if params is a list of well-formed name-value pairs (section 3.4), each within the list; *n is their number. */
bool record_params_valid(struct str params, size_t *n);
