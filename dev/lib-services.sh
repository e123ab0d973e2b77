# The services of one private stack (sourced by dev/stack, bash). Uses its variables:
# dir run prefix port fsync sim_port, pg_data pg_log, nginx_dir, pool_log, sim_log.
# shellcheck disable=SC2154

# ---- directories and settings ----

init() {
	[ -n "$prefix" ] || say_and_die "STACK_PREFIX must say where make install put the programs"
	[ -x "$prefix/sbin/llmchat-pool" ] || say_and_die "there is no $prefix/sbin/llmchat-pool; look whether make install was complete"
	make_stack_user
	# The parents must let the stack's user through; the directory itself is private.
	mkdir -p "$(dirname "$dir")"
	make_private_dir "$dir"
	as_user test -x "$dir" || say_and_die "user $(stack_user) cannot reach $dir; choose a place outside of root's home"
	as_user test -x "$prefix/sbin/llmchat-pool" || say_and_die "user $(stack_user) cannot reach $prefix; choose a place outside of root's home"
	local sub
	for sub in log nginx nginx/tmp home; do make_private_dir "$dir/$sub"; done
	make_run_dir
	if [ ! -s "$dir/secrets" ]; then
		write_private "$dir/secrets" <<-END
			DB_PASSWORD=$(random_hex 24)
			TOKEN_SECRET=$(random_hex 32)
			SECRETS_KEY=$(random_hex 32)
		END
	fi
	# Before PostgreSQL runs this makes the final file but for the provider's port.
	write_env
}

make_run_dir() {
	if [ -e "$run" ] || [ -L "$run" ]; then
		# Its name can be guessed: somebody else may have been there first.
		if [ ! -d "$run" ] || [ -L "$run" ] || [ "$(stat -c %U "$run")" != "$(stack_user)" ]; then
			say_and_die "$run is not a directory of $(stack_user); look who made it, remove it"
		fi
	fi
	make_private_dir "$run"
}

remember() {
	write_private "$dir/stack" <<-END
		prefix=$prefix
		port=$port
		fsync=$fsync
		sim_port=$sim_port
	END
}

own_database() { [ -z "$(env_value "$dir/overrides" DB_HOST)" ]; }

# The env file: what this stack needs, the secrets, then what the caller wants. The last one of a name counts
# here, so names that are set again are left out: the reader may be stricter.
write_env() {
	remember
	local file
	file=$(
		cat <<-END
			RUN_DIR=$run
			RESPONDERS=2
			PORT=$port
			DB_HOST=$run
			DB_PORT=5432
			DB_USER=llmchat
			DB_NAME=llmchat
			DB_SSLMODE=disable
			REDIS_HOST=$redis_socket
			AGENTS_CONFIG_PATH=$prefix/etc/llmchat/agents.json
			PROVIDER_SIM_URL=http://127.0.0.1:${sim_port:-1}/v1
			PROVIDER_SIM_PORT=${sim_port:-1}
		END
		cat "$dir/secrets"
		if [ -f "$dir/overrides" ]; then grep -E '^[A-Za-z_][A-Za-z0-9_]*=' "$dir/overrides" || :; fi
	)
	printf '%s\n' "$file" | awk -F= '{ if (!($1 in line)) order[++n] = $1; line[$1] = $0 }
		END { for (i = 1; i <= n; i++) print line[order[i]] }' | write_private "$dir/env"
}

# clean CMD ...: as the stack's user with only what is named here in the environment; a PORT or DB_HOST of the
# caller's shell would win over the file.
clean() {
	local keep=() name AS_USER
	user_prefix
	for name in ASAN_OPTIONS UBSAN_OPTIONS LSAN_OPTIONS TZ NGINX_MIME_TYPES; do
		[ -z "${!name+set}" ] || keep+=("$name=${!name}")
	done
	env -i PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME="$dir/home" LANG=C.UTF-8 \
		LLMCHAT_ENV_FILE="$dir/env" POOL_LOG="$pool_log" "${keep[@]}" "${AS_USER[@]}" "$@"
}

ready() { [ -f "$dir/env" ] || say_and_die "there is no stack in $dir; run: dev/stack $dir up"; }

# ---- PostgreSQL ----

pg_bin() {
	local bin=''
	for bin in /usr/lib/postgresql/*/bin; do :; done
	[ -x "$bin/postgres" ] || say_and_die "there is no PostgreSQL in /usr/lib/postgresql; run dev/install-packages run"
	printf '%s\n' "$bin"
}

pg_pid() { head -n 1 "$pg_data/postmaster.pid" 2>/dev/null || :; }
pg_running() { running "$(pg_pid)" "$pg_data"; }

pg_init() {
	local bin
	bin=$(pg_bin)
	say "Making a database in $pg_data"
	rm -rf "$pg_data"
	random_hex 24 | write_private "$dir/pg-superuser"
	as_user env LC_ALL=C.UTF-8 "$bin/initdb" -D "$pg_data" -U postgres --pwfile="$dir/pg-superuser" --auth=scram-sha-256 \
		--encoding=UTF8 --locale=C.UTF-8 >"$dir/log/initdb.log" 2>&1 </dev/null || {
		rm -rf "$pg_data"
		say_and_die "initdb failed: $(tail -n 1 "$dir/log/initdb.log"); the whole log is $dir/log/initdb.log"
	}
	touch "$dir/pg-fresh"
}

# Written on every start: the programs may have moved. ALTER SYSTEM (postgresql.auto.conf) goes over it.
pg_configure() {
	cat <<-END | write_private "$pg_data/postgresql.conf"
		include '$prefix/share/llmchat/conf/postgresql.llmchat.conf'
		listen_addresses = ''
		unix_socket_directories = '$run'
		unix_socket_permissions = 0700
		port = 5432
		fsync = $fsync
		# Not in /dev/shm: systemd empties it of a user's files when the user logs out.
		dynamic_shared_memory_type = mmap
		log_line_prefix = '%m [%p] '
		timezone = 'UTC'
		log_timezone = 'UTC'
	END
}

pg_start() {
	local bin password
	ready
	own_database || return 0
	make_run_dir
	! pg_running || return 0
	bin=$(pg_bin)
	# pg-fresh: a first start that was interrupted; there is nothing to lose yet.
	if [ ! -f "$pg_data/PG_VERSION" ] || [ -e "$dir/pg-fresh" ]; then pg_init; fi
	pg_configure
	as_user "$bin/pg_ctl" -D "$pg_data" -l "$pg_log" -w -t 60 -s start </dev/null >/dev/null ||
		say_and_die "PostgreSQL did not start; look at the end of $pg_log"
	if [ -e "$dir/pg-fresh" ]; then
		# The password goes by environment into psql: never on a command line.
		password=$(env_value "$dir/env" DB_PASSWORD)
		PGPASSWORD=$(cat "$dir/pg-superuser") LLMCHAT_ROLE_PASSWORD=$password as_user "$bin/psql" -X -q -v ON_ERROR_STOP=1 \
			-h "$run" -U postgres -d postgres >"$dir/log/initdb.log" 2>&1 <<-'END' || {
				\getenv password LLMCHAT_ROLE_PASSWORD
				CREATE ROLE llmchat LOGIN PASSWORD :'password';
				CREATE DATABASE llmchat OWNER llmchat;
			END
			pg_stop
			say_and_die "making the database failed: $(tail -n 1 "$dir/log/initdb.log")"
		}
		rm -f "$dir/pg-fresh"
	fi
}

pg_stop() {
	pg_running || return 0
	pg_signal CONT
	as_user "$(pg_bin)/pg_ctl" -D "$pg_data" -w -t 60 -s -m fast stop </dev/null >/dev/null ||
		say_and_die "PostgreSQL did not stop; look at the end of $pg_log"
}

# All its processes: a stopped postmaster alone would leave the sessions working.
pg_signal() {
	local pid child
	pid=$(pg_pid)
	running "$pid" "$pg_data" || return 0
	kill -"$1" "$pid"
	# shellcheck disable=SC2013 # words, not lines
	for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
		kill -"$1" "$child" 2>/dev/null || :
	done
}

# psql as the application's role, or as the superuser with PGUSER=postgres.
pg_psql() {
	ready
	local user=${PGUSER:-llmchat} password
	if [ "$user" = postgres ]; then
		password=$(cat "$dir/pg-superuser")
	else
		password=$(env_value "$dir/env" DB_PASSWORD)
	fi
	PGPASSWORD=$password PGCONNECT_TIMEOUT=10 as_user "$(pg_bin)/psql" -X -h "$run" -U "$user" -d "${PGDATABASE:-llmchat}" "$@"
}

ctl() {
	ready
	clean "$prefix/bin/llmchatctl" "$@"
}

migrate() {
	ctl migrate >"$dir/log/migrate.log" 2>&1 </dev/null || {
		tail -n 5 "$dir/log/migrate.log" >&2
		say_and_die "llmchatctl migrate failed; the lines above are the end of $dir/log/migrate.log"
	}
}

# first_admin NAME: an administrator with a random password, unless there is one already. Prints both, and keeps the
# password nowhere: neither in a file nor on a command line nor in a log.
first_admin() {
	local users password
	users=$(ctl user list --json </dev/null) || say_and_die "llmchatctl could not say which users there are"
	case $users in
	*'"role":"admin"'*) return 0 ;;
	esac
	password=$(ctl user add "$1" --admin --random-password </dev/null 2>"$dir/log/first-admin.log") ||
		say_and_die "no administrator was made: $(cat "$dir/log/first-admin.log")"
	say "name      $1"
	say "password  $password"
}

# ---- the stand-in provider ----

sim_pid() { cat "$dir/sim.pid" 2>/dev/null || :; }
sim_running() { running "$(sim_pid)" "$prefix/bin/llmchat-provider-sim"; }

# launch LOG CMD ...: in the background, as the stack's user, out of this terminal's reach; its pid in $launched.
launch() {
	local log=$1 AS_USER
	shift
	user_prefix
	"${AS_USER[@]}" setsid "$@" </dev/null >>"$log" 2>&1 &
	launched=$!
}

# On the port it had before, because the responders have been told it; on a free one if that is taken.
sim_start() {
	ready
	! sim_running || return 0
	local try pid until
	for try in "${sim_port:-0}" 0; do
		rm -f "$dir/sim.port"
		launch "$sim_log" "$prefix/bin/llmchat-provider-sim" --listen "127.0.0.1:$try" --port-file "$dir/sim.port"
		pid=$launched
		until=$((SECONDS + 20))
		while kill -0 "$pid" 2>/dev/null; do
			if [ -s "$dir/sim.port" ]; then
				echo "$pid" >"$dir/sim.pid"
				sim_port=$(cat "$dir/sim.port")
				return 0
			fi
			[ "$SECONDS" -lt "$until" ] || break
			sleep 0.05
		done
		kill -KILL "$pid" 2>/dev/null || :
	done
	say_and_die "the stand-in provider did not start; look at the end of $sim_log"
}

sim_stop() {
	end_pid "$(sim_pid)" "$prefix/bin/llmchat-provider-sim" 5
	rm -f "$dir/sim.pid"
}

# Starts it, or the new build in place of the one that runs. One that is the same goes on with its answers.
sim_renew() {
	if sim_running && ! cmp -s "/proc/$(sim_pid)/exe" "$prefix/bin/llmchat-provider-sim"; then
		sim_stop
	fi
	sim_start
}

# ---- the pool ----

# start, stop, restart, status as llmchat-pool has them; up = start, or a planned restart if it is running.
pool() {
	local verb=$1
	if [ ! -f "$dir/env" ]; then
		[ "$verb" != stop ] || return 0
		ready
	fi
	if [ "$verb" = up ]; then
		verb=restart
		pool status >/dev/null 2>&1 || [ $? -ne 3 ] || verb=start
	fi
	if [ "$verb" = start ] || [ "$verb" = restart ]; then make_run_dir; fi
	# A test may put a library of its own before those of the responders.
	clean env ${STACK_PRELOAD:+LD_PRELOAD="$STACK_PRELOAD"} "$prefix/sbin/llmchat-pool" "$verb"
}

# ---- nginx ----

nginx_program() {
	command -v nginx || { [ -x /usr/sbin/nginx ] && echo /usr/sbin/nginx; } ||
		say_and_die "there is no nginx; run dev/install-packages run"
}

nginx_pid() { cat "$nginx_dir/nginx.pid" 2>/dev/null || :; }
nginx_running() { running "$(nginx_pid)" "$nginx_dir/nginx.conf"; }

nginx_render() {
	local address
	address=$(env_value "$dir/env" LISTEN_ADDRESS)
	clean env NGINX_LOG_DIR="$nginx_dir" WEB_ROOT="${STACK_WEB_ROOT:-$prefix/share/llmchat/web}" LISTEN_ADDRESS="${address:-127.0.0.1}" \
		"$prefix/sbin/llmchat-nginx-conf" | write_private "$nginx_dir/site.conf"
	clean "$prefix/sbin/llmchat-nginx-conf" --main "$nginx_dir" | write_private "$nginx_dir/nginx.conf"
}

nginx_run() {
	local AS_USER caps=()
	# Root can give away the right to a port below 1024 without giving away root.
	[ "$port" -ge 1024 ] || caps=(--inh-caps +net_bind_service --ambient-caps +net_bind_service)
	user_prefix "${caps[@]}"
	TZ=UTC "${AS_USER[@]}" "$(nginx_program)" -p "$nginx_dir" -c "$nginx_dir/nginx.conf" -e "$nginx_dir/error.log" "$@"
}

nginx_start() {
	ready
	# A reload would keep the old address, quietly, if it cannot have the new one.
	local before=''
	if nginx_running; then
		before=$(grep -F 'listen ' "$nginx_dir/site.conf" || :)
	fi
	nginx_render
	if [ -n "$before" ]; then
		if [ "$before" = "$(grep -F 'listen ' "$nginx_dir/site.conf")" ]; then
			nginx_reload
			return 0
		fi
		nginx_stop
	fi
	nginx_run </dev/null >"$dir/log/nginx-start.log" 2>&1 ||
		say_and_die "nginx did not start on port $port: $(sed -n 's/^nginx: //p' "$dir/log/nginx-start.log" | head -n 1); look at $dir/log/nginx-start.log"
}

nginx_reload() {
	ready
	nginx_render
	nginx_run -t >"$dir/log/nginx-start.log" 2>&1 ||
		say_and_die "nginx refuses the new site and keeps the old one; look at $dir/log/nginx-start.log"
	kill -HUP "$(nginx_pid)"
}

nginx_stop() {
	end_pid "$(nginx_pid)" "$nginx_dir/nginx.conf" 10
}

# ---- all of it ----

status() {
	ready
	local result=0
	if ! own_database; then
		say "postgresql    not ours, DB_HOST is set"
	elif pg_running; then
		say "postgresql    running, pid $(pg_pid), socket in $run"
	else
		say "postgresql    stopped"
		result=1
	fi
	redis_status || result=1
	if sim_running; then
		say "provider-sim  running, pid $(sim_pid), http://127.0.0.1:$sim_port"
	else
		say "provider-sim  stopped"
		result=1
	fi
	if nginx_running; then
		say "nginx         running, pid $(nginx_pid), port $port"
	else
		say "nginx         stopped"
		result=1
	fi
	pool status || result=$?
	return "$result"
}
