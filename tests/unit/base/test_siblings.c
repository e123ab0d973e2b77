/* Siblings: who lives and what they count, whatever else lies in RUN_DIR. */
#include "base/siblings.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/support.h"

static char dir[64];
static struct loop *loop;
static struct process self;
static struct siblings *siblings;
static unsigned n_published;

static void on_publish(void *arg)
{
	assert_ptr_equal(arg, &self);
	n_published++;
}

static int make(void **state)
{
	char why[256];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/siblings-test-XXXXXX");
	if (!mkdtemp(dir) || process_open(&self, dir, "node", 1, why, sizeof(why)) != 0)
		return -1;
	loop = loop_new();
	n_published = 0;
	siblings = siblings_new(loop, &self, on_publish, &self);
	return 0;
}

static int end(void **state)
{
	char command[96];

	(void)state;
	siblings_free(siblings);
	process_close(&self);
	snprintf(command, sizeof(command), "rm -r '%s'", dir);
	return loop_free(loop) && system(command) == 0 ? 0 : -1;
}

static uint64_t n_turns(void)
{
	return siblings_sum(siblings, COUNT_TURNS);
}

static size_t n_siblings(void)
{
	struct process_id ids[MAX_SIBLINGS];

	return siblings_list(siblings, ids, MAX_SIBLINGS);
}

static void look_again(void)
{
	siblings_look(siblings);
}

/* A process that lives with so many turns until it is killed. */
static pid_t start_sibling(int slot, uint64_t turns, struct process_id *id)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct process p;
		char why[256];

		if (process_open(&p, dir, "node", slot, why, sizeof(why)) != 0)
			_exit(1);
		process_set(&p, COUNT_TURNS, turns);
		if (write(fds[1], &p.generation, sizeof(p.generation)) != sizeof(p.generation))
			_exit(1);
		for (;;)
			pause();
	}
	id->slot = slot;
	assert_int_equal(read(fds[0], &id->generation, sizeof(id->generation)), sizeof(id->generation));
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static void kill_it(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static bool exists(const char *name, struct process_id id)
{
	char path[PROCESS_PATH_SIZE];

	process_path(dir, name, id, path);
	return access(path, F_OK) == 0;
}

static void counts_others_and_not_itself(void **state)
{
	struct process_id ids[4], a, b;
	struct process other;
	char why[256];
	pid_t pid;

	(void)state;
	process_set(&self, COUNT_TURNS, 100);
	pid = start_sibling(2, 7, &a);
	assert_int_equal(process_open(&other, dir, "node", 3, why, sizeof(why)), 0);
	b = (struct process_id){3, other.generation};
	look_again();
	assert_int_equal(n_siblings(), 2);
	assert_int_equal(n_turns(), 7);
	process_set(&other, COUNT_TURNS, 5); /* seen at once, without another look */
	assert_int_equal(n_turns(), 12);
	assert_int_equal(siblings_list(siblings, ids, 4), 2);
	assert_memory_equal(&ids[0].generation, &a.generation, sizeof(a.generation));
	assert_memory_equal(&ids[1].generation, &b.generation, sizeof(b.generation));
	assert_int_equal(siblings_list(siblings, ids, 1), 1);
	process_close(&other);
	kill_it(pid);
	look_again();
	assert_int_equal(n_siblings(), 0);
	assert_int_equal(n_turns(), 0);
}

static void two_generations_of_a_slot_count_both(void **state)
{
	struct process_id old, new;
	pid_t a = start_sibling(1, 3, &old), b = start_sibling(1, 4, &new);

	(void)state;
	look_again();
	assert_int_equal(n_turns(), 7);
	kill_it(a);
	look_again();
	assert_int_equal(n_turns(), 4);
	kill_it(b);
}

static void removes_what_a_dead_one_left(void **state)
{
	char path[PROCESS_PATH_SIZE];
	struct process_id id;
	pid_t pid = start_sibling(2, 7, &id);

	(void)state;
	process_path(dir, "ctl", id, path);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	look_again();
	assert_int_equal(n_turns(), 7);
	assert_true(exists("ctl", id));
	kill_it(pid);
	look_again();
	assert_int_equal(n_turns(), 0);
	assert_false(exists("alive", id));
	assert_false(exists("ctl", id));
	/* Also of one that was dead before we came. */
	id.generation++;
	process_path(dir, "alive", id, path);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	look_again();
	assert_false(exists("alive", id));
}

/* A locked file with these contents; returns the descriptor that holds the lock. */
static int put_file(const char *name, const void *content, size_t size)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(write(fd, content, size), size);
	return fd;
}

static void reads_no_file_that_is_not_right(void **state)
{
	struct process_page good = {
		.magic = PROCESS_MAGIC, .size_bytes = sizeof(good), .pid = 1, .slot = 5, .generation = 55, .version = "1"};
	struct process_page pages[6];
	char zeros[4096] = "";
	int fds[16], n = 0;

	(void)state;
	good.counts[COUNT_TURNS] = 1000;
	for (size_t i = 0; i < N_ELEMENTS(pages); i++)
		pages[i] = good;
	pages[0].magic++;
	pages[1].size_bytes--;
	pages[2].slot = 6;
	pages[3].generation++;
	memset(pages[4].version, 'v', sizeof(pages[4].version));
	pages[5].size_bytes = 0;
	for (size_t i = 0; i < N_ELEMENTS(pages); i++) { /* each as alive.5.55, so that only what is wrong is wrong */
		fds[0] = put_file("alive.5.55", &pages[i], sizeof(pages[i]));
		look_again();
		assert_int_equal(n_siblings(), 1);
		assert_int_equal(n_turns(), 0);
		close(fds[0]);
		look_again();
		assert_int_equal(n_siblings(), 0);
	}
	fds[n++] = put_file("alive.5.55", &good, sizeof(good) - 1); /* short */
	fds[n++] = put_file("alive.6.66", "", 0);
	fds[n++] = put_file("alive.7.77", zeros, sizeof(zeros)); /* long */
	look_again();
	assert_int_equal(n_siblings(), 3);
	assert_int_equal(n_turns(), 0);
	while (n > 0)
		close(fds[--n]);
	look_again();
	assert_int_equal(n_siblings(), 0);
	/* And one that is right, to know that the others could have been. */
	fds[n++] = put_file("alive.5.55", &good, sizeof(good));
	look_again();
	assert_int_equal(n_turns(), 1000);
	close(fds[--n]);
}

static void passes_over_names_that_are_not_ours(void **state)
{
	static const char *const names[] = {
		"alive",         "alive.",     "alive.1",       "alive.1.",   "alive..5",
		"alive.1.5.new", "alive.01.5", "alive.1.05",    "alive.-1.5", "alive.1.-5",
		"alive.1.5x",    "alive.0.5",  "alive.10000.5", "alive.1.0",  "alive.1.99999999999999999999",
		"alivf.1.5",     "xalive.1.5", "alive.1.5.6",
	};
	struct process_id ids[8];
	char path[128];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	}
	snprintf(path, sizeof(path), "%s/alive.8.88", dir); /* what cannot be opened as a file is not waited for */
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(path, sizeof(path), "%s/alive.9.99", dir);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	look_again();
	assert_int_equal(n_siblings(), 0);
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		assert_int_equal(access(path, F_OK), 0); /* not ours to remove */
	}
	assert_int_equal(process_list(dir, ids, N_ELEMENTS(ids)), 2); /* ourselves, and the link: it can be neither read nor removed */
	assert_int_equal(process_list(dir, ids, 1), 1);
	assert_int_equal(process_list("/no/such/directory", ids, 1), -ENOENT);
}

static void what_is_read_is_what_was_set(void **state)
{
	struct process_id id = {self.slot, self.generation};
	struct process_page page;
	int fd = process_look(dir, id);

	(void)state;
	assert_true(fd >= 0);
	for (int i = 0; i < N_COUNTS; i++)
		process_set(&self, (enum process_count)i, UINT64_C(0x8000000000000000) + (uint64_t)i);
	assert_true(process_read(fd, id, &page));
	for (int i = 0; i < N_COUNTS; i++)
		assert_true(process_get(&page, (enum process_count)i) == UINT64_C(0x8000000000000000) + (uint64_t)i);
	assert_int_equal(page.pid, getpid());
	assert_int_equal(page.slot, 1);
	assert_false(process_lock_free(fd));
	close(fd);
}

static void follows_siblings_that_come_and_go_without_losing_a_descriptor(void **state)
{
	struct process_id id;
	size_t before;

	(void)state;
	look_again();
	before = count_fds();
	for (int i = 0; i < 3; i++) {
		pid_t pid = start_sibling(2 + i, 1, &id);

		look_again();
		assert_int_equal(n_turns(), 1);
		kill_it(pid);
		look_again();
		assert_int_equal(n_siblings(), 0);
	}
	assert_int_equal(count_fds(), before);
}

static void looks_by_itself_and_has_its_own_counts_brought_up_to_date_before(void **state)
{
	struct process_id id;
	pid_t pid = start_sibling(2, 7, &id);

	(void)state;
	turn_few(loop);
	assert_int_equal(n_published, 1); /* at once */
	assert_int_equal(n_turns(), 7);
	kill_it(pid);
	TURN_UNTIL(loop, n_turns() == 0);
	assert_int_equal(n_published, 2); /* and again */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, end)
		T(looks_by_itself_and_has_its_own_counts_brought_up_to_date_before),
		T(counts_others_and_not_itself),
		T(two_generations_of_a_slot_count_both),
		T(removes_what_a_dead_one_left),
		T(reads_no_file_that_is_not_right),
		T(passes_over_names_that_are_not_ours),
		T(what_is_read_is_what_was_set),
		T(follows_siblings_that_come_and_go_without_losing_a_descriptor),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
