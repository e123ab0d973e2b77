/* Who lives: a lock that the kernel gives back however its holder dies. */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/support.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/process-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	return rmdir(dir); /* fails if a file was left behind */
}

static size_t n_files(void)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void open_it(struct process *p, int slot)
{
	char why[256] = "";

	if (process_open(p, dir, "node", slot, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

/* Starts a process that holds a lock and waits to be killed. */
static pid_t start_holder(int slot, int64_t *generation)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct process p;
		char why[256];

		if (process_open(&p, dir, "node", slot, why, sizeof(why)) != 0 ||
		    write(fds[1], &p.generation, sizeof(p.generation)) != sizeof(p.generation))
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(fds[0], generation, sizeof(*generation)), sizeof(*generation));
	close(fds[0]);
	close(fds[1]);
	return pid;
}

static void kill_it(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void knows_itself(void **state)
{
	struct process p;

	(void)state;
	open_it(&p, 1);
	assert_int_equal(p.slot, 1);
	assert_true(p.generation > INT64_C(1700000000000000));
	assert_non_null(strstr(p.node, "node"));
	assert_non_null(strstr(p.node, dir));
	assert_true(process_alive(&p, 1, p.generation));
	assert_int_equal(n_files(), 1);
	assert_true(fcntl(p.lock_fd, F_GETFD) & FD_CLOEXEC);
	process_close(&p);
	assert_int_equal(n_files(), 0);
	process_close(&p);
}

static void sees_another_live_and_die(void **state)
{
	struct process p;
	int64_t generation;
	pid_t pid;

	(void)state;
	open_it(&p, 1);
	pid = start_holder(2, &generation);
	assert_int_equal(n_files(), 2);
	assert_true(process_alive(&p, 2, generation));
	assert_true(process_alive(&p, 2, generation)); /* looking does not take the lock */
	assert_false(process_alive(&p, 2, generation - 1));
	assert_false(process_alive(&p, 3, generation));
	kill_it(pid);
	assert_int_equal(n_files(), 2);
	assert_false(process_alive(&p, 2, generation));
	assert_int_equal(n_files(), 1); /* its file is removed */
	assert_false(process_alive(&p, 2, generation));
	process_close(&p);
}

static void a_second_generation_of_a_slot_is_somebody_else(void **state)
{
	struct process p;
	int64_t old, new;
	pid_t old_pid, new_pid;

	(void)state;
	open_it(&p, 1);
	old_pid = start_holder(1, &old);
	new_pid = start_holder(1, &new);
	assert_true(new != old);
	assert_true(p.generation != old);
	assert_true(process_alive(&p, 1, old));
	assert_true(process_alive(&p, 1, new));
	kill_it(old_pid);
	assert_false(process_alive(&p, 1, old));
	assert_true(process_alive(&p, 1, new));
	kill_it(new_pid);
	assert_false(process_alive(&p, 1, new));
	process_close(&p);
}

static void a_removed_file_means_dead(void **state)
{
	struct process p, other;
	char path[160];

	(void)state;
	open_it(&p, 1);
	open_it(&other, 2);
	assert_true(process_alive(&p, 2, other.generation));
	process_close(&other);
	assert_false(process_alive(&p, 2, other.generation));
	/* what cannot be looked at is not called dead */
	snprintf(path, sizeof(path), "%s/alive.7.77", dir);
	assert_int_equal(symlink(path, path), 0); /* ELOOP, also for root */
	assert_true(process_alive(&p, 7, 77));
	unlink(path);
	process_close(&p);
}

static void says_where_the_lock_cannot_be_made(void **state)
{
	struct process p;
	char why[256] = "", path[160];
	size_t before = count_fds();

	(void)state;
	snprintf(path, sizeof(path), "%s/absent", dir);
	assert_int_equal(process_open(&p, path, "", 1, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "RUN_DIR"));
	assert_non_null(strstr(why, path));
	process_close(&p);
	assert_int_equal(count_fds(), before);
}

static void is_named_after_the_host_unless_told_otherwise(void **state)
{
	char why[256] = "", host[128] = "";
	struct process p;

	(void)state;
	gethostname(host, sizeof(host) - 1);
	assert_int_equal(process_open(&p, dir, "", 1, why, sizeof(why)), 0);
	assert_memory_equal(p.node, host, strlen(host));
	process_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)
		T(knows_itself),
		T(sees_another_live_and_die),
		T(a_second_generation_of_a_slot_is_somebody_else),
		T(a_removed_file_means_dead),
		T(says_where_the_lock_cannot_be_made),
		T(is_named_after_the_host_unless_told_otherwise),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
