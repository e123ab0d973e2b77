# The Redis of one private stack (sourced by dev/stack, bash): on a unix socket, for its user alone. Uses dir, run and prefix.
# shellcheck disable=SC2154

redis_dir=$dir/redis
redis_log=$dir/log/redis.log
redis_socket=$run/redis.sock

# Somebody else's, or none: REDIS_HOST is set, be it to nothing.
own_redis() { ! grep -qs '^REDIS_HOST=' "$dir/overrides"; }
redis_pid() { cat "$dir/redis.pid" 2>/dev/null || :; }
redis_running() { running "$(redis_pid)" "$redis_dir/redis.conf"; }

# Written on every start: the programs may have moved. DIR/redis/overrides, if there is one, goes over it.
redis_configure() {
	make_private_dir "$redis_dir"
	{
		[ ! -f "$prefix/share/llmchat/conf/redis.llmchat.conf" ] || echo "include $prefix/share/llmchat/conf/redis.llmchat.conf"
		cat <<-END
			port 0
			unixsocket $redis_socket
			unixsocketperm 700
			dir $redis_dir
			daemonize no
			maxmemory 64mb
			# The path of this file stays in its command line, by which it is known.
			set-proc-title no
		END
		cat "$redis_dir/overrides" 2>/dev/null || :
	} | write_private "$redis_dir/redis.conf"
}

redis_cli() {
	ready
	as_user redis-cli -s "$redis_socket" "$@"
}

redis_start() {
	ready
	own_redis || return 0
	make_run_dir
	! redis_running || return 0
	command -v redis-server >/dev/null || say_and_die "there is no redis-server; run dev/install-packages run"
	redis_configure
	launch "$redis_log" redis-server "$redis_dir/redis.conf"
	echo "$launched" >"$dir/redis.pid"
	local until=$((SECONDS + 20))
	until [ "$(redis_cli ping 2>/dev/null || :)" = PONG ]; do
		if [ "$SECONDS" -ge "$until" ] || ! kill -0 "$launched" 2>/dev/null; then
			kill -KILL "$launched" 2>/dev/null || :
			say_and_die "Redis did not start; look at the end of $redis_log"
		fi
		sleep 0.05
	done
}

redis_signal() {
	local pid
	pid=$(redis_pid)
	running "$pid" "$redis_dir/redis.conf" || return 0
	kill -"$1" "$pid"
}

redis_stop() {
	redis_signal CONT
	end_pid "$(redis_pid)" "$redis_dir/redis.conf" 10
	rm -f "$dir/redis.pid"
}

redis_status() {
	if ! own_redis; then
		say "redis         not ours, REDIS_HOST is set"
	elif redis_running; then
		say "redis         running, pid $(redis_pid), socket in $run"
	else
		say "redis         stopped"
		return 1
	fi
}
