/* Who makes the file holds a lock on RUN_DIR itself meanwhile: two who both found a damaged one would otherwise replace each other's. */
#include "base/breaker_table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever changes the layout, or what a word means, changes it. */
#define TABLE_MAGIC UINT64_C(0x31306b7262686c6c)

/* How the table begins. */
struct head {
	uint64_t magic, size_bytes;
	char boot_id[BOOT_ID_SIZE];
};

enum { LOCK_TRIES = 100, LOCK_TICK_MS = 10 };

static const char file_name[] = "breakers", new_name[] = "breakers.new";

static_assert(offsetof(struct breaker_table, budget) == sizeof(struct head), "the table begins with its head");
static_assert(sizeof(struct breaker_entry) == 128, "an entry is two cache lines");

/* Empty where the system does not say: then every boot looks alike. */
static void read_boot_id(char out[BOOT_ID_SIZE])
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	memset(out, 0, BOOT_ID_SIZE);
	if (fd < 0)
		return;
	if (read(fd, out, BOOT_ID_SIZE - 1) < 0)
		out[0] = '\0';
	close(fd);
}

/* What is too short is never mapped: a load from behind its end kills. */
static bool fits(int fd, bool ours_only)
{
	char boot_id[BOOT_ID_SIZE];
	struct head head;
	struct stat st;

	read_boot_id(boot_id);
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == (off_t)sizeof(struct breaker_table) &&
	       (!ours_only || st.st_uid == geteuid()) && pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	       head.magic == TABLE_MAGIC && head.size_bytes == sizeof(struct breaker_table) &&
	       memcmp(head.boot_id, boot_id, BOOT_ID_SIZE) == 0;
}

/* Its bytes are there before it is mapped: storing into a page that a full file system does not have would kill us. */
static bool fill(int fd)
{
	struct head head = {TABLE_MAGIC, sizeof(struct breaker_table), ""};

	read_boot_id(head.boot_id);
	errno = posix_fallocate(fd, 0, sizeof(struct breaker_table));
	return errno == 0 && pwrite(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head);
}

static int make(int dir)
{
	int fd;

	unlinkat(dir, new_name, 0); /* of one who died here */
	fd = openat(dir, new_name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	if (!fill(fd) || renameat(dir, new_name, dir, file_name) != 0) {
		int err = errno;

		unlinkat(dir, new_name, 0);
		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

static bool take_lock(int dir)
{
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (flock(dir, LOCK_EX | LOCK_NB) == 0)
			return true;
		if (errno != EWOULDBLOCK)
			return false;
		poll(NULL, 0, LOCK_TICK_MS);
	}
	return false;
}

static int open_or_make(const char *run_dir)
{
	int dir = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1, err;

	if (dir < 0)
		return -1;
	if (take_lock(dir)) {
		fd = openat(dir, file_name, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || !fits(fd, true)) {
			if (fd >= 0)
				close(fd);
			fd = make(dir);
		}
	}
	err = errno;
	close(dir); /* with the lock */
	errno = err;
	return fd;
}

static struct breaker_table *map(int fd, int protection)
{
	struct breaker_table *table = mmap(NULL, sizeof(*table), protection, MAP_SHARED, fd, 0);

	return table == MAP_FAILED ? NULL : table;
}

struct breaker_table *breaker_table_open(const char *run_dir, char *why, size_t why_size)
{
	int fd = open_or_make(run_dir);
	struct breaker_table *table = fd < 0 ? NULL : map(fd, PROT_READ | PROT_WRITE);

	if (!table)
		snprintf(why, why_size, "%s/%s: %s", run_dir, file_name, strerror(errno));
	if (fd >= 0)
		close(fd);
	return table;
}

struct breaker_table *breaker_table_peek(const char *run_dir, char *why, size_t why_size)
{
	struct breaker_table *table = NULL;
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", run_dir, file_name);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && !fits(fd, false))
		snprintf(why, why_size, "%s is damaged, or of another version or boot", path);
	else if (fd < 0 || !(table = map(fd, PROT_READ)))
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return table;
}

void breaker_table_close(struct breaker_table *table)
{
	munmap(table, sizeof(*table));
}
