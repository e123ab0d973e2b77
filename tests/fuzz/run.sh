#!/bin/bash
# Runs every fuzzer for FUZZ_SECONDS (default 60) each: tests/fuzz/run.sh BUILD_DIR. New inputs stay in BUILD_DIR;
# what crashes a parser is printed, and left there as crash-*. The last line is "N passed, N failed".
set -u
here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:-.}" && pwd)
seconds=${FUZZ_SECONDS:-60}
passed=0
failed=0
for name in record request sse json json_scan conf jwt anthropic dify fastgpt; do
	work=$build/fuzz-$name
	mkdir -p "$work/corpus"
	if (cd "$work" && "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -max_len=8192 -timeout=5 -rss_limit_mb=2048 \
		-print_final_stats=1 corpus "$here/corpus/$name") >"$work/log" 2>&1; then
		passed=$((passed + 1))
		echo "fuzz_$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log") inputs in $seconds s, nothing found"
	else
		failed=$((failed + 1))
		echo "fuzz_$name FAILED; the whole log is $work/log"
		tail -n 30 "$work/log"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
