#!/bin/sh
# docs/configuration.md says what llmchat-responder --help-config says. `make config-doc` writes it anew.
set -eu
srcdir=${srcdir:-.}
RESPONDER=${RESPONDER:-./llmchat-responder}
sed -n '/^```$/,/^```$/p' "$srcdir/docs/configuration.md" | sed '/^```$/d' >config-doc.tmp.$$
trap 'rm -f config-doc.tmp.$$' EXIT
if ! "$RESPONDER" --help-config | diff config-doc.tmp.$$ -; then
	echo "docs/configuration.md is not what --help-config prints; run: make config-doc" >&2
	exit 1
fi
