/* initdb and postgres, run as an unprivileged user. */
#include "tests/unit/db/server.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void give_up(const char *what)
{
	fprintf(stderr, "the test's PostgreSQL: %s (%s)\n", what, strerror(errno));
	exit(1);
}

/* The newest installation: Debian's directories, else whatever pg_config says. */
static void find_bin(struct server *s)
{
	const char *from_env = getenv("PG_BINDIR");
	glob_t found;

	if (from_env) {
		snprintf(s->bin, sizeof(s->bin), "%s", from_env);
	} else if (glob("/usr/lib/postgresql/*/bin", 0, NULL, &found) == 0) {
		snprintf(s->bin, sizeof(s->bin), "%s", found.gl_pathv[found.gl_pathc - 1]);
		globfree(&found);
	} else {
		FILE *f = popen("pg_config --bindir", "r");

		if (!f || !fgets(s->bin, sizeof(s->bin), f))
			give_up("no initdb was found; on Debian: apt-get install postgresql");
		s->bin[strcspn(s->bin, "\n")] = '\0';
		pclose(f);
	}
}

/* Runs bin/program as the server's user, its output in dir/log; arguments end with NULL. */
static pid_t spawn(const struct server *s, const char *program, char *const *args)
{
	char path[192], log[96];
	pid_t parent = getpid(), pid;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", s->bin, program);
	snprintf(log, sizeof(log), "%s/log", s->dir);
	pid = fork();
	if (pid != 0)
		return pid;
	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(s->gid) != 0 || setuid(s->uid) != 0))
		_exit(126);
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0 || chdir(s->dir) != 0 || getppid() != parent)
		_exit(126);
	unsetenv("LD_PRELOAD");
	execv(path, args);
	_exit(127);
}

static int run(const struct server *s, const char *program, char *const *args)
{
	int status;
	pid_t pid = spawn(s, program, args);

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		give_up(program);
	return status;
}

static void choose_user(struct server *s)
{
	const struct passwd *user = geteuid() == 0 ? getpwnam("nobody") : getpwuid(geteuid());

	if (!user)
		give_up("there is no user nobody");
	s->uid = user->pw_uid;
	s->gid = user->pw_gid;
}

static void write_password(const struct server *s, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(SERVER_PASSWORD "\n", f) < 0 || fclose(f) != 0 || chmod(path, 0644) != 0)
		give_up(path);
	(void)s;
}

void server_init(struct server *s)
{
	char data[80], pwfile[96];
	char *const args[] = {"initdb", "-D",   data,       "-A", "scram-sha-256", "--pwfile", pwfile, "-U", "llmchat",
			      "-E",     "UTF8", "--locale", "C",  "--no-sync",     NULL};

	*s = (struct server){.dir = "/tmp/llmchat-db-XXXXXX"};
	choose_user(s);
	find_bin(s);
	if (!mkdtemp(s->dir) || chown(s->dir, s->uid, s->gid) != 0 || chmod(s->dir, 0755) != 0)
		give_up(s->dir);
	snprintf(data, sizeof(data), "%s/data", s->dir);
	snprintf(pwfile, sizeof(pwfile), "%s/password", s->dir);
	write_password(s, pwfile);
	if (run(s, "initdb", args) != 0)
		give_up("initdb failed");
	server_start(s);
}

void server_start(struct server *s)
{
	char data[80];
	char *const args[] = {
		"postgres",       "-D", data, "-k", s->dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=30", "-c",
		"autovacuum=off", NULL};
	char *const ready[] = {"pg_isready", "-q", "-h", s->dir, "-U", "llmchat", "-d", "postgres", NULL};
	int tries = 0;

	snprintf(data, sizeof(data), "%s/data", s->dir);
	s->pid = spawn(s, "postgres", args);
	if (s->pid < 0)
		give_up("fork");
	while (run(s, "pg_isready", ready) != 0) {
		if (++tries > 500 || waitpid(s->pid, NULL, WNOHANG) != 0)
			give_up("postgres does not start");
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	}
}

void server_stop(struct server *s)
{
	if (s->pid == 0)
		return;
	kill(s->pid, SIGINT);
	waitpid(s->pid, NULL, 0);
	s->pid = 0;
}

void server_fini(struct server *s)
{
	char command[96];

	server_stop(s);
	snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
	if (strncmp(s->dir, "/tmp/llmchat-db-", 16) == 0 && system(command) != 0)
		fprintf(stderr, "%s is left over\n", s->dir);
}
