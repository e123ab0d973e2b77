#!/bin/sh
# Every statement of db/ is in its file's list, and every list in db/statements.c: `llmchatctl db explain` and the test of the
# indexes see all of them. Silent when all is well.
set -eu
cd "${srcdir:-.}"

result=0
trouble() {
	echo "statements.sh: $*"
	result=1
}

for file in db/*.c; do
	list=$(basename "$file" .c)_statements
	for name in $(sed -nE 's/^(static )?const struct statement ([a-z_0-9]+) = .*/\2/p' "$file"); do
		sed -n "/ $list\[\] = /,/};/p" "$file" | grep -q "&$name," ||
			trouble "$file: $name is not in $list[], at the end of the file"
		sed -n '/lists\[\] = /,/};/p' db/statements.c | grep -q "[^a-z_]$list," || trouble "db/statements.c: $list is not among the lists"
	done
done
names=$(sed -nE '/const struct statement [a-z_0-9]+ = /{N;s/.*= \{[[:space:]]*"([a-z_0-9]+)".*/\1/p}' db/*.c | sort | uniq -d)
[ -z "$names" ] || trouble "two statements have the same name:" $names
exit $result
