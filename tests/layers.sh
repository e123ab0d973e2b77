#!/bin/sh
# Keeps the shape of the tree (see docs/architecture): who may include whom, where a third-party header may appear,
# which calls would block a responder, how long a file may be. Silent when all is well; a line for each trouble.
set -eu
cd "${srcdir:-.}"

troubles=$(mktemp)
code=$(mktemp)
trap 'rm -f "$troubles" "$code"' EXIT
trouble() { echo "$*" >>"$troubles"; }

# The layers, from the bottom. A folder includes itself and lower layers; folders of one layer not each other.
layer_of() {
	case $1 in
	base) echo 0 ;;
	net) echo 1 ;;
	fcgi | db | cache | llm | telemetry) echo 2 ;;
	chat | auth) echo 3 ;;
	handlers | ctl) echo 4 ;;
	*) echo none ;;
	esac
}

# Where each third-party header may be included, and nowhere else. Patterns of case.
homes_of() {
	case $1 in
	uv.h | uv/*) echo "base/loop.c net/resolver.c" ;;
	json-c/* | json.h) echo "base/json.c" ;;
	libpq-fe.h | libpq/* | postgresql/*) echo "db/pg.c ctl/pg_sync.c" ;;
	curl/*) echo "net/http.c" ;;
	fcgiapp.h | fcgi_stdio.h | fastcgi.h | fcgios.h | fcgimisc.h) echo "fcgi/request.c" ;;
	sodium.h | sodium/*) echo "base/crypto.c" ;;
	argon2.h) echo "base/crypto.c" ;;
	hiredis.h | async.h | hiredis/*) echo "cache/resp.c" ;;
	jwt.h) echo "base/jwt.c" ;;
	*) echo any ;;
	esac
}

folders="base net fcgi db cache llm telemetry chat auth handlers ctl sim"
sources=$(for folder in $folders; do
	[ ! -d "$folder" ] || find "$folder" -name '*.[ch]'
done | sort)
[ ! -f main.c ] || sources="main.c $sources"
[ -n "$sources" ] || {
	echo "layers.sh: no sources in $(pwd); set srcdir" >&2
	exit 1
}

# One line an include: file:line:#include "…" or <…>.
# shellcheck disable=SC2086 # a list of paths without blanks
grep -nE '^[[:blank:]]*#[[:blank:]]*include[[:blank:]]*["<]' /dev/null $sources |
	sed 's/^\([^:]*\):\([0-9]*\):[^"<]*\(["<]\)\([^">]*\).*/\1 \2 \3 \4/' |
	while read -r file line kind header; do
		case $file in
		main.c) folder=main ;;
		*) folder=${file%%/*} ;;
		esac
		homes=$(homes_of "$header")
		if [ "$homes" != any ] && [ "$folder" != sim ]; then
			case " $homes " in
			*" $file "*) ;;
			*) trouble "$file:$line: <$header> belongs in $homes only" ;;
			esac
		fi
		[ "$kind" = '"' ] || continue
		[ "$header" != config.h ] || continue
		case $header in
		*/*) ;;
		*)
			trouble "$file:$line: \"$header\" is not written from the root of the tree"
			continue
			;;
		esac
		[ "$folder" != main ] || continue
		to=${header%%/*}
		[ "$to" != "$folder" ] || continue
		if [ "$folder" = sim ]; then
			trouble "$file:$line: sim shares nothing with the rest, but includes \"$header\""
			continue
		fi
		from_layer=$(layer_of "$folder")
		to_layer=$(layer_of "$to")
		if [ "$to_layer" = none ]; then
			trouble "$file:$line: \"$header\" is in no layer"
		elif [ "$to_layer" -ge "$from_layer" ]; then
			trouble "$file:$line: $folder (layer $from_layer) includes \"$header\" (layer $to_layer)"
		fi
	done

# The responder's code without comments (they may name what must not be called), each line with its place.
# ctl is a program for people and may block; sim, tests and bench are not responders.
# shellcheck disable=SC2086
awk '
	FILENAME ~ /^(ctl|sim)\// { next }
	FNR == 1 { inside = 0 }
	{
		line = $0
		if (inside && !sub(/^.*\*\//, "", line)) next
		inside = 0
		gsub(/\/\*([^*]|\*+[^*\/])*\*+\//, "", line)
		if (sub(/\/\*.*$/, "", line)) inside = 1
		sub(/\/\/.*$/, "", line)
		print FILENAME ":" FNR ":" line
	}' $sources >"$code"

# blocking PATTERN WHY [FOLDER]: calls that wait, in any folder but the one that is named.
blocking() {
	grep -E -- "$1" "$code" | grep -v "^${3:-/}" | while IFS=: read -r file line text; do
		trouble "$file:$line: $2:$text"
	done || :
}
blocking '\bPQexec\b|\bPQconnectdb\b|\bPQreset\b|\bPQcancel|\bPQexecParams\b|\bPQprepare\b' "a libpq call that waits for the server"
blocking '\bredisCommand\b|\bredisConnect\b' "a hiredis call that waits for the server"
blocking '\bcurl_easy_perform\b' "a whole transfer in one call"
blocking '\bFCGX_PutStr\b|\bFCGX_Finish|\bFCGX_FFlush\b' "libfcgi's output blocks, or loses bytes (design: our own records)"
blocking '(^|[^_[:alnum:]])(u|nano)?sleep[[:blank:]]*\(' "a sleeping responder answers nobody"
blocking '(^|[^_[:alnum:]])getaddrinfo[[:blank:]]*\(|\bgethostbyname' "looks a name up and waits" "net/"

for file in $sources; do
	lines=$(wc -l <"$file")
	[ "$lines" -le 600 ] || trouble "$file: $lines lines; 600 is the ceiling"
done

if [ -s "$troubles" ]; then
	cat "$troubles"
	echo "layers.sh: $(wc -l <"$troubles") troubles"
	exit 1
fi
