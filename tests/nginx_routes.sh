#!/bin/sh
# Compares the responder's route table with nginx's locations: nginx_routes.sh [RESPONDER]
# A route that streams must fall into a location with fastcgi_buffering off, gzip off and 300 s; a plain one into a
# location that buffers; none into the location of the page.
# RESPONDER (or the argument) is the program whose --routes is read; a file with its output does as well.
set -eu
srcdir=${srcdir:-.}
responder=${1:-${RESPONDER:-./llmchat-responder}}
conf=$srcdir/nginx/llmchat.conf.in

[ -r "$conf" ] || {
	echo "nginx_routes.sh: there is no $conf; set srcdir" >&2
	exit 1
}
routes=$(mktemp)
trap 'rm -f "$routes"' EXIT
if [ -x "$responder" ]; then
	"$responder" --routes >"$routes" </dev/null
else
	cat "$responder" >"$routes"
fi
[ -s "$routes" ] || {
	echo "nginx_routes.sh: $responder --routes printed nothing" >&2
	exit 1
}

awk -F '\t' '
# ---- the locations, in the order of the file ----
FNR == NR {
	line = $0
	# A # within quotes does not occur in this file.
	sub(/[[:blank:]]*#.*/, "", line)
	gsub(/^[[:blank:]]+|[[:blank:]]+$/, "", line)
	if (line ~ /^location /) {
		n++
		rest = substr(line, 10)
		sub(/[[:blank:]]*\{$/, "", rest)
		kind = "prefix"
		if (match(rest, /^(=|~\*|~|\^~)[[:blank:]]+/)) {
			kind = substr(rest, 1, RLENGTH)
			gsub(/[[:blank:]]/, "", kind)
			rest = substr(rest, RLENGTH + 1)
		}
		gsub(/^"|"$/, "", rest)
		if (rest ~ /^@/) kind = "named"
		kinds[n] = kind
		names[n] = rest
		inside = n
	} else if (line ~ /^}/) {
		inside = 0
	} else if (inside && line ~ /;$/) {
		sub(/;$/, "", line)
		word = line
		sub(/[[:blank:]].*/, "", word)
		value = substr(line, length(word) + 1)
		gsub(/^[[:blank:]]+/, "", value)
		settings[inside, word] = value
	}
	next
}

# ---- nginx: exact; else the longest prefix, final if ^~; else the first regular expression; else that prefix ----
function location_of(uri,   i, best, longest) {
	best = 0
	longest = -1
	for (i = 1; i <= n; i++) {
		if (kinds[i] == "=" && names[i] == uri) return i
		if ((kinds[i] == "prefix" || kinds[i] == "^~") && index(uri, names[i]) == 1 && length(names[i]) > longest) {
			best = i
			longest = length(names[i])
		}
	}
	if (best && kinds[best] == "^~") return best
	for (i = 1; i <= n; i++) {
		if (kinds[i] == "~" && uri ~ names[i]) return i
		if (kinds[i] == "~*" && tolower(uri) ~ tolower(names[i])) return i
	}
	return best
}

function trouble(what) {
	printf "%s %s (%s): %s\n", method, pattern, mode, what
	n_troubles++
}

function check(uri,   l, where) {
	l = location_of(uri)
	if (!l) {
		trouble("no location for " uri)
		return
	}
	where = "in location " (kinds[l] == "prefix" ? "" : kinds[l] " ") names[l]
	if (!((l, "fastcgi_pass") in settings)) {
		trouble("the page would answer for " uri ", " where)
		return
	}
	if (mode == "stream") {
		if (settings[l, "fastcgi_buffering"] != "off") trouble("fastcgi_buffering is not off " where)
		if (settings[l, "gzip"] != "off") trouble("gzip is not off " where)
		if (settings[l, "fastcgi_cache"] != "off") trouble("fastcgi_cache is not off " where)
		if (settings[l, "fastcgi_read_timeout"] != "300s") trouble("fastcgi_read_timeout is not 300s " where)
		if (settings[l, "fastcgi_send_timeout"] != "300s") trouble("fastcgi_send_timeout is not 300s " where)
	} else if (mode == "plain") {
		if (settings[l, "fastcgi_buffering"] != "on") trouble("fastcgi_buffering is not on " where)
	} else {
		trouble("neither stream nor plain")
	}
}

# Methods share a location: one that streams decides, and the plain ones beside it are passed over.
{
	rows++
	methods[rows] = $1
	patterns[rows] = $2
	modes[rows] = $4
	if ($4 == "stream") streams[$2] = 1
}

END {
	for (i = 1; i <= rows; i++) {
		method = methods[i]
		pattern = patterns[i]
		mode = modes[i]
		if (mode == "plain" && pattern in streams) continue
		# A parameter can be anything without a slash: two samples, one with the characters an id may have.
		uri = pattern
		gsub(/:[A-Za-z_]+/, "0193-a1", uri)
		check(uri)
		if (uri != pattern) {
			uri = pattern
			gsub(/:[A-Za-z_]+/, "A.b_c:d", uri)
			check(uri)
		}
	}
	if (n_troubles) {
		printf "nginx_routes.sh: %d troubles with nginx/llmchat.conf.in\n", n_troubles
		exit 1
	}
}' "$conf" "$routes"
