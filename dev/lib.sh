# Shared by dev/stack, quickstart and runtests (sourced, bash): words, users, directories, pids.
# Expects $program to be set: the name that failures begin with.

say() { printf '%s\n' "$*"; }
say_and_die() {
	printf '%s: %s\n' "${program:-llmchat}" "$*" >&2
	exit 1
}

# The user that servers run as: oneself, or, for root, an unprivileged one. PostgreSQL refuses root, and a
# responder has no business being root.
stack_user() {
	if [ "$(id -u)" -ne 0 ]; then
		id -un
	else
		printf '%s\n' "${STACK_USER:-llmchat}"
	fi
}

make_stack_user() {
	local user
	user=$(stack_user)
	[ "$(id -u)" -eq 0 ] || return 0
	! id "$user" >/dev/null 2>&1 || return 0
	say "Making the system user $user, which the servers run as."
	adduser --system --group --quiet --no-create-home --home /nonexistent "$user" >/dev/null ||
		say_and_die "could not make the user $user; try: adduser --system --group $user"
}

# shellcheck disable=SC2120 # nginx_run gives it arguments
# What goes in front of a command so that the stack's user runs it: nothing, or, for root, setpriv. (Not su: no
# shell, no terminal, no session, and the pid of what it starts is the pid of the program.) Arguments are setpriv's.
user_prefix() {
	local user
	user=$(stack_user)
	AS_USER=()
	[ "$(id -u)" -ne 0 ] || AS_USER=(setpriv --reuid "$user" --regid "$(id -gn "$user")" --init-groups "$@" --)
}

# as_user CMD ...: as the stack's user, with the environment as it is.
as_user() {
	local AS_USER
	# shellcheck disable=SC2119
	user_prefix
	"${AS_USER[@]}" "$@"
}

# A private directory of the stack's user.
make_private_dir() {
	[ -d "$1" ] || mkdir -p "$1" || say_and_die "cannot make the directory $1"
	if [ "$(id -u)" -eq 0 ]; then
		chown "$(stack_user):$(id -gn "$(stack_user)")" "$1"
	fi
	chmod 0700 "$1"
}

# write_private FILE: stdin into a file only the stack's user reads, whole or not at all.
write_private() {
	local temporary
	temporary=$(umask 077 && mktemp "$1.XXXXXX")
	cat >"$temporary"
	if [ "$(id -u)" -eq 0 ]; then
		chown "$(stack_user):$(id -gn "$(stack_user)")" "$temporary"
	fi
	mv -f "$temporary" "$1"
}

# The eight characters that tell one clone, or one state directory, from another.
short_hash() { printf '%s' "$1" | sha256sum | cut -c 1-8; }

# The directory for everything quickstart and runtests make of this clone, outside of root's home.
home_of_clone() {
	if [ "$(id -u)" -eq 0 ]; then
		printf '/var/lib/llmchat-quickstart/%s\n' "$(short_hash "$1")"
	else
		printf '%s/llmchat/%s\n' "${XDG_STATE_HOME:-$HOME/.local/state}" "$(short_hash "$1")"
	fi
}

random_hex() { od -An -N "$1" -tx1 /dev/urandom | tr -d ' \n'; }

# running PID WORD: does the process exist, and is it ours (WORD is in its command line)? A pid that was read
# from a file may be somebody else's by now.
running() {
	[ -n "${1-}" ] && [ -r "/proc/$1/cmdline" ] && tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- "$2"
}

# end_pid PID WORD SECONDS: TERM, then wait; KILL is the last resort and is said.
end_pid() {
	local until=$((SECONDS + $3))
	running "$1" "$2" || return 0
	kill -TERM "$1" 2>/dev/null || return 0
	while running "$1" "$2"; do
		if [ "$SECONDS" -ge "$until" ]; then
			say "process $1 ($2) did not end within $3 s; killed it" >&2
			kill -KILL "$1" 2>/dev/null || :
			return 0
		fi
		sleep 0.05
	done
}

# The value of NAME in an env file that env_line wrote.
env_value() {
	[ -r "$1" ] || return 0
	sed -n "s/^$2=//p" "$1" | tail -n 1 | sed -e 's/^"\(.*\)"$/\1/;t' -e "s/^'\(.*\)'\$/\1/"
}

# env_line NAME VALUE: as the responder reads it. There are quotes, but no escapes.
env_line() {
	case $2 in
	*$'\n'*) say_and_die "$1 has a line break in its value; an env file cannot carry that" ;;
	*\"*\'* | *\'*\"*) say_and_die "$1 has both kinds of quotes in its value; an env file cannot carry that" ;;
	*\"*) printf "%s='%s'\n" "$1" "$2" ;;
	*[!A-Za-z0-9_./:@%+,=-]*) printf '%s="%s"\n' "$1" "$2" ;;
	*) printf '%s=%s\n' "$1" "$2" ;;
	esac
}

# ---- building: where the sources are, and getting them ready ----

# as_owner FILE CMD ...: as whoever owns FILE. Root leaves no files of its own in another's clone.
as_owner() {
	local owner group
	owner=$(stat -c %u "$1")
	group=$(stat -c %g "$1")
	shift
	if [ "$(id -u)" -eq 0 ] && [ "$owner" -ne 0 ]; then
		HOME=/nonexistent setpriv --reuid "$owner" --regid "$group" --clear-groups -- "$@"
	else
		"$@"
	fi
}

configure_is_stale() {
	local file
	[ -x "$1/configure" ] && [ -f "$1/Makefile.in" ] || return 0
	for file in "$1/configure.ac" "$1/Makefile.am" "$1"/*/local.mk "$1"/m4/*.m4; do
		if [ -f "$file" ] && { [ "$file" -nt "$1/configure" ] || [ "$file" -nt "$1/Makefile.in" ]; }; then
			return 0
		fi
	done
	return 1
}

# ready_sources CLONE WORK: makes configure if it is missing or old, and prints the directory to build from
# (in $sources): the clone, or a copy in WORK when the clone cannot be written to or was configured in place
# (automake refuses to build elsewhere then).
ready_sources() {
	sources=$1
	if [ -f "$1/config.status" ] || { ! [ -w "$1" ] && configure_is_stale "$1"; }; then
		sources=$2/sources
		rm -rf "$sources"
		mkdir -p "$sources"
		(cd "$1" && tar -c --exclude=./.git --exclude=./build --exclude=./config.status --exclude=./config.h \
			--exclude=./Makefile --exclude='*.o' --exclude='*.a' --exclude=.deps --exclude=.dirstamp .) |
			tar -x -C "$sources" --no-same-owner
	fi
	if configure_is_stale "$sources"; then
		# As a file, not a pipe: the log is what a failure points to.
		(cd "$sources" && as_owner "$sources/configure.ac" ./autogen.sh) >"$2/autogen.log" 2>&1 </dev/null || {
			tail -n 20 "$2/autogen.log" >&2
			say_and_die "autogen.sh failed; the whole log is $2/autogen.log"
		}
		# autoreconf leaves files alone that it would not change; their old times would make it run every time.
		as_owner "$sources/configure.ac" touch "$sources/configure" "$sources/Makefile.in"
	fi
}

# configure_build DIR OPTION ...: configures DIR from $sources unless it was so already.
configure_build() {
	local dir=$1 asked
	shift
	mkdir -p "$dir"
	asked="$sources/configure $*"
	if [ -f "$dir/Makefile" ] && [ "$(cat "$dir/.asked" 2>/dev/null)" = "$asked" ] && ! [ "$sources/configure" -nt "$dir/config.status" ]; then
		return 0
	fi
	(cd "$dir" && "$sources/configure" -q "$@") >"$dir/configure.log" 2>&1 </dev/null || {
		tail -n 20 "$dir/configure.log" >&2
		say_and_die "configure failed; the lines above are the end of $dir/configure.log"
	}
	printf '%s\n' "$asked" >"$dir/.asked"
}

# make_in DIR LOG TARGET ...: quietly; on failure the end of the log.
make_in() {
	local dir=$1 log=$2
	shift 2
	make -C "$dir" -j "$(nproc)" "$@" >"$log" 2>&1 </dev/null || {
		grep -nE '(error|Error|undefined reference)' "$log" | head -n 20 >&2 || :
		tail -n 20 "$log" >&2
		return 1
	}
}
