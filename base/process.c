/* The lock that says a process lives. The kernel gives it back when the process dies, however it dies. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"

static void lock_path(const struct process *p, int slot, int64_t generation, const char *suffix, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/alive.%d.%lld%s", p->run_dir, slot, (long long)generation, suffix);
}

int process_open(struct process *p, const char *run_dir, const char *node_name, int slot, char *why, size_t why_size)
{
	char path[PATH_MAX], making[PATH_MAX], host[128] = "localhost";

	*p = (struct process){.slot = slot, .generation = (int64_t)clock_real_us(), .lock_fd = -1};
	gethostname(host, sizeof(host) - 1);
	snprintf(p->node, sizeof(p->node), "%s:%s", *node_name ? node_name : host, run_dir);
	snprintf(p->run_dir, sizeof(p->run_dir), "%s", run_dir);
	lock_path(p, slot, p->generation, "", path);
	lock_path(p, slot, p->generation, ".new", making);
	/* Locked before it gets its name: nobody can find it unlocked. */
	p->lock_fd = open(making, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (p->lock_fd >= 0 && flock(p->lock_fd, LOCK_EX | LOCK_NB) == 0 && rename(making, path) == 0)
		return 0;
	snprintf(why, why_size, "RUN_DIR is %s: the lock file %s cannot be made there: %s.", run_dir, path, strerror(errno));
	if (p->lock_fd >= 0) {
		unlink(making);
		close(p->lock_fd);
	}
	return -1;
}

void process_close(struct process *p)
{
	char path[PATH_MAX];

	if (p->lock_fd < 0)
		return;
	lock_path(p, p->slot, p->generation, "", path);
	unlink(path);
	close(p->lock_fd);
	p->lock_fd = -1;
}

bool process_alive(const struct process *p, int slot, int64_t generation)
{
	char path[PATH_MAX];
	bool alive;
	int fd;

	if (slot == p->slot && generation == p->generation)
		return true;
	lock_path(p, slot, generation, "", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno != ENOENT; /* only a missing file is proof */
	alive = flock(fd, LOCK_SH | LOCK_NB) != 0;
	if (!alive)
		unlink(path);
	close(fd);
	return alive;
}
