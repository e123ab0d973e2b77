/* Words of SQL that several statements use. */
#pragma once

/* A timestamp as the API shows it: ISO 8601, milliseconds, UTC. */
#define SQL_ISO(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
/* A parameter in seconds as an interval. */
#define SQL_SECONDS(param) "make_interval(secs => " param "::bigint)"
/* What failed logins of a name are counted under. */
#define SQL_NAME_KEY(name) "encode(sha256(convert_to(lower(" name "), 'UTF8')), 'hex')"
