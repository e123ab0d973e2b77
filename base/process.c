/* The lock that says a process lives, and the page of counts in its file. The kernel gives the lock back when the process dies,
 * however it dies. */
#include "base/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "config.h"

static const char lock_name[] = "alive";
/* All that a process has in RUN_DIR under its own name. */
static const char *const names[] = {lock_name, "ctl"};

static struct process_id id_of(const struct process *p)
{
	return (struct process_id){p->slot, p->generation};
}

void process_path(const char *run_dir, const char *name, struct process_id id, char out[PROCESS_PATH_SIZE])
{
	snprintf(out, PROCESS_PATH_SIZE, "%s/%s.%d.%lld", run_dir, name, id.slot, (long long)id.generation);
}

/* Written before it is mapped: storing into a page that a full file system does not have would kill us. */
static bool make_page(struct process *p)
{
	struct process_page page = {
		.magic = PROCESS_MAGIC,
		.size_bytes = sizeof(page),
		.pid = (uint64_t)getpid(),
		.slot = (uint64_t)p->slot,
		.generation = (uint64_t)p->generation,
		.version = PACKAGE_VERSION,
	};
	ssize_t n = pwrite(p->lock_fd, &page, sizeof(page), 0);

	if (n != (ssize_t)sizeof(page)) {
		errno = n < 0 ? errno : ENOSPC;
		return false;
	}
	p->page = mmap(NULL, sizeof(page), PROT_READ | PROT_WRITE, MAP_SHARED, p->lock_fd, 0);
	if (p->page == MAP_FAILED)
		p->page = NULL;
	return p->page != NULL;
}

int process_open(struct process *p, const char *run_dir, const char *node_name, int slot, char *why, size_t why_size)
{
	char path[PROCESS_PATH_SIZE], making[PROCESS_PATH_SIZE + 4], host[128] = "localhost";

	*p = (struct process){.slot = slot, .generation = (int64_t)clock_real_us(), .lock_fd = -1};
	gethostname(host, sizeof(host) - 1);
	snprintf(p->node, sizeof(p->node), "%s:%s", *node_name ? node_name : host, run_dir);
	snprintf(p->run_dir, sizeof(p->run_dir), "%s", run_dir);
	process_path(run_dir, lock_name, id_of(p), path);
	snprintf(making, sizeof(making), "%s.new", path);
	/* Locked and filled before it gets its name: nobody can find it otherwise. */
	p->lock_fd = open(making, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
	if (p->lock_fd >= 0 && flock(p->lock_fd, LOCK_EX | LOCK_NB) == 0 && make_page(p) && rename(making, path) == 0)
		return 0;
	snprintf(why, why_size, "RUN_DIR is %s: the lock file %s cannot be made there: %s.", run_dir, path, strerror(errno));
	if (p->lock_fd >= 0) {
		unlink(making);
		process_unmap(p->page);
		close(p->lock_fd);
	}
	p->page = NULL;
	p->lock_fd = -1;
	return -1;
}

void process_close(struct process *p)
{
	char path[PROCESS_PATH_SIZE];

	if (p->lock_fd < 0)
		return;
	process_path(p->run_dir, lock_name, id_of(p), path);
	unlink(path);
	process_unmap(p->page);
	p->page = NULL;
	close(p->lock_fd);
	p->lock_fd = -1;
}

bool process_lock_free(int fd)
{
	/* Whoever else looks asks for a shared lock too. */
	return flock(fd, LOCK_SH | LOCK_NB) == 0;
}

int process_look(const char *run_dir, struct process_id id)
{
	char path[PROCESS_PATH_SIZE];
	int fd;

	process_path(run_dir, lock_name, id, path);
	fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!process_lock_free(fd))
		return fd;
	/* The lock's file goes last: as long as it is there, somebody will look again. */
	for (size_t i = N_ELEMENTS(names); i-- > 0;) {
		process_path(run_dir, names[i], id, path);
		unlink(path);
	}
	close(fd);
	return -ENOENT;
}

bool process_alive(const struct process *p, int slot, int64_t generation)
{
	int fd;

	if (slot == p->slot && generation == p->generation)
		return true;
	fd = process_look(p->run_dir, (struct process_id){slot, generation});
	if (fd < 0)
		return fd != -ENOENT; /* only a missing file is proof */
	close(fd);
	return true;
}

void process_set(struct process *p, enum process_count what, uint64_t value)
{
	atomic_store_explicit(&p->page->counts[what], value, memory_order_relaxed);
}

uint64_t process_get(const struct process_page *page, enum process_count what)
{
	return atomic_load_explicit(&page->counts[what], memory_order_relaxed);
}

static struct process_tallied *find_tallied(struct process_page *page, uint64_t key)
{
	for (size_t i = 0; i < MAX_TALLIED; i++)
		if (page->tallied[i].key == key)
			return &page->tallied[i];
	return NULL;
}

static bool counts_nothing(const struct process_tallied *t)
{
	for (size_t i = 0; i < N_TALLIES; i++)
		if (t->n[i])
			return false;
	return true;
}

/* In one order for all processes (sequentially consistent): of two that count themselves and then look at the other, one sees it. */
bool process_tally(struct process *p, uint64_t key, enum process_tally what, int change)
{
	struct process_tallied *t = find_tallied(p->page, key);

	if (!t && change > 0 && (t = find_tallied(p->page, 0)))
		t->key = key;
	if (!t)
		return false;
	t->n[what] += (uint64_t)(int64_t)change;
	if (counts_nothing(t))
		t->key = 0;
	return true;
}

uint64_t process_tally_get(const struct process_page *page, uint64_t key, enum process_tally what)
{
	for (size_t i = 0; i < MAX_TALLIED; i++)
		if (page->tallied[i].key == key)
			return page->tallied[i].n[what];
	return 0;
}

static int compare_ids(const void *a, const void *b)
{
	const struct process_id *x = a, *y = b;

	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	return x->generation < y->generation ? -1 : x->generation > y->generation;
}

/* A name of ours, and written as we write it: no sign, no leading zero, nothing behind it. */
static bool parse_name(const char *name, struct process_id *id)
{
	struct str rest = str_from(name), slot;
	char again[PROCESS_PATH_SIZE];
	int64_t n;

	if (!str_eq_cstr(str_cut(&rest, '.'), lock_name))
		return false;
	slot = str_cut(&rest, '.');
	if (!str_to_i64(slot, &n) || n < 1 || n > 9999 || !str_to_i64(rest, &id->generation) || id->generation < 1)
		return false;
	id->slot = (int)n;
	process_path("", lock_name, *id, again);
	return strcmp(again + 1, name) == 0;
}

int process_list(const char *run_dir, struct process_id *out, size_t max)
{
	DIR *dir = opendir(run_dir);
	const struct dirent *entry;
	size_t n = 0;

	if (!dir)
		return -errno;
	while (n < max && (entry = readdir(dir)))
		n += parse_name(entry->d_name, &out[n]);
	closedir(dir);
	qsort(out, n, sizeof(*out), compare_ids);
	return (int)n;
}

/* What is no such file, or was cut short, is never mapped: a load from behind its end kills. */
static bool is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == (off_t)sizeof(struct process_page);
}

static bool page_fits(const struct process_page *page, struct process_id id)
{
	return page->magic == PROCESS_MAGIC && page->size_bytes == sizeof(*page) && page->slot == (uint64_t)id.slot &&
	       page->generation == (uint64_t)id.generation && memchr(page->version, '\0', sizeof(page->version));
}

bool process_read(int fd, struct process_id id, struct process_page *out)
{
	return is_ours(fd) && pread(fd, out, sizeof(*out), 0) == (ssize_t)sizeof(*out) && page_fits(out, id);
}

const struct process_page *process_map(int fd, struct process_id id)
{
	struct process_page *page;

	if (!is_ours(fd))
		return NULL;
	page = mmap(NULL, sizeof(*page), PROT_READ, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return NULL;
	if (page_fits(page, id))
		return page;
	process_unmap(page);
	return NULL;
}

void process_unmap(const struct process_page *page)
{
	if (page)
		munmap((void *)(uintptr_t)page, sizeof(*page));
}
