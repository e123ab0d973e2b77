/* Several processes at one breaker, and the file that they share. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/breaker_table.h"
#include "base/clock.h"
#include "base/conf.h"
#include "tests/unit/support.h"

enum { N_PROCESSES = 4 };

/* What the processes of a test tell each other. */
struct board {
	_Atomic unsigned n_ready, n_inside, most_inside, n_passed;
};

static const struct conf conf = {.breaker_failures = 5, .breaker_successes = 3, .breaker_reset_ms = 1000, .request_timeout_ms = 500};
static char dir[64], path[96], log_path[96];
static struct board *board;

static int begin(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/breaker-test-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/breakers", dir);
	snprintf(log_path, sizeof(log_path), "%s/log", dir);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return board == MAP_FAILED ? -1 : quiet(state);
}

static int end(void **state)
{
	(void)state;
	munmap(board, sizeof(*board));
	clock_set_for_test(0, 0);
	unlink(path);
	unlink(log_path);
	return rmdir(dir); /* fails if a file was left behind */
}

static void set_ms(uint64_t ms)
{
	clock_set_for_test(ms * 1000, 1);
}

static struct breaker_pass enter(struct breakers *b, const char *id)
{
	struct breaker_pass pass;
	int64_t retry_after_ms;

	if (!breaker_enter(b, str_from(id), &pass, &retry_after_ms))
		fail_msg("no call to %s may go out for %lld ms", id, (long long)retry_after_ms);
	return pass;
}

static bool may(struct breakers *b, const char *id)
{
	struct breaker_pass pass;
	int64_t retry_after_ms;

	if (!breaker_enter(b, str_from(id), &pass, &retry_after_ms))
		return false;
	breaker_leave(b, &pass, BREAKER_NEITHER);
	return true;
}

static void fails(struct breakers *b, const char *id, int n)
{
	while (n-- > 0) {
		struct breaker_pass pass = enter(b, id);

		breaker_leave(b, &pass, BREAKER_FAILURE);
	}
}

static struct breaker_view look(const struct breakers *b, const char *id)
{
	struct breaker_view view;

	breaker_look(b, str_from(id), &view);
	return view;
}

/* Runs work in so many processes, which begin together; each has opened the file itself. Their log goes to log_path. */
static void together(const struct conf *with, void (*work)(struct breakers *b))
{
	int log_fd = open(log_path, O_CREAT | O_TRUNC | O_RDWR | O_APPEND | O_CLOEXEC, 0600);

	assert_true(log_fd >= 0);
	for (int i = 0; i < N_PROCESSES; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		dup2(log_fd, STDERR_FILENO);
		log_set_level(LOG_INFO);
		struct breakers *b = breakers_open(dir, with);

		board->n_ready++;
		while (board->n_ready < N_PROCESSES)
			sched_yield(); /* no rest, or they would come one after the other */
		work(b);
		breakers_close(b);
		_exit(0);
	}
	for (int i = 0; i < N_PROCESSES; i++) {
		int status;

		wait(&status);
		assert_int_equal(status, 0);
	}
	close(log_fd);
}

static unsigned n_logged(const char *event)
{
	FILE *f = fopen(log_path, "re");
	char line[1024];
	unsigned n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += strstr(line, event) != NULL;
	fclose(f);
	return n;
}

/* ---- processes ---- */

enum { N_FAILURES = 15000 };

static void fail_often(struct breakers *b)
{
	fails(b, "a", N_FAILURES);
}

static void the_threshold_of_all_together_is_exact(void **state)
{
	struct conf patient = conf;
	struct breakers *b;

	(void)state;
	patient.breaker_failures = N_PROCESSES * N_FAILURES + 1;
	together(&patient, fail_often);
	b = breakers_open(dir, &patient);
	assert_int_equal(look(b, "a").n, N_PROCESSES * N_FAILURES);
	assert_int_equal(look(b, "a").state, BREAKER_CLOSED);
	fails(b, "a", 1);
	assert_int_equal(look(b, "a").state, BREAKER_OPEN);
	breakers_close(b);
}

static void fail_until_it_opens(struct breakers *b)
{
	struct breaker_pass pass;
	int64_t retry_after_ms;

	while (breaker_enter(b, STR("a"), &pass, &retry_after_ms)) {
		board->n_passed++;
		breaker_leave(b, &pass, BREAKER_FAILURE);
	}
}

static void it_opens_once_and_one_of_them_says_so(void **state)
{
	struct conf hundred = conf;

	(void)state;
	hundred.breaker_failures = 100;
	hundred.breaker_reset_ms = 3600000;
	together(&hundred, fail_until_it_opens);
	assert_in_range(board->n_passed, 100, 100 + N_PROCESSES - 1); /* the others' last ones were under way */
	assert_int_equal(n_logged("breaker_opened"), 1);
}

static void try_and_say_nothing(struct breakers *b)
{
	for (int i = 0; i < 200000; i++) {
		struct breaker_pass pass;
		int64_t retry_after_ms;
		unsigned n, most;

		if (!breaker_enter(b, STR("a"), &pass, &retry_after_ms))
			continue;
		n = ++board->n_inside;
		most = board->most_inside;
		while (n > most && !atomic_compare_exchange_weak(&board->most_inside, &most, n))
			;
		board->n_passed++;
		if (i % 16 == 0)
			sched_yield(); /* so that the others come while this one is inside */
		board->n_inside--;
		breaker_leave(b, &pass, BREAKER_NEITHER);
	}
}

static void no_more_try_at_once_than_may(void **state)
{
	struct conf two = conf;
	struct breakers *b = breakers_open(dir, &conf);

	(void)state;
	two.breaker_successes = 2;
	set_ms(10000);
	fails(b, "a", 5);
	set_ms(11000); /* ready; and the clock stands still in all of them, so that no place lapses */
	together(&two, try_and_say_nothing);
	assert_int_equal(board->most_inside, 2);
	assert_int_equal(board->n_inside, 0);
	assert_true(board->n_passed > 1000);
	assert_int_equal(n_logged("breaker_half_open"), 1);
	assert_int_equal(look(b, "a").n_probes, 0);
	breakers_close(b);
}

static void succeed_until_it_closes(struct breakers *b)
{
	while (look(b, "a").state != BREAKER_CLOSED) {
		struct breaker_pass pass;
		int64_t retry_after_ms;

		if (!breaker_enter(b, STR("a"), &pass, &retry_after_ms))
			continue;
		if (pass.probe)
			board->n_passed++;
		breaker_leave(b, &pass, BREAKER_SUCCESS);
	}
}

static void successes_of_all_together_close_it_once(void **state)
{
	struct conf many = conf;
	struct breakers *b = breakers_open(dir, &conf);

	(void)state;
	many.breaker_successes = 500;
	set_ms(10000);
	fails(b, "a", 5);
	set_ms(11000);
	together(&many, succeed_until_it_closes);
	assert_in_range(board->n_passed, 500, 500 + BREAKER_MAX_PROBES - 1);
	assert_int_equal(n_logged("breaker_half_open"), 1);
	assert_int_equal(n_logged("breaker_closed"), 1);
	assert_int_equal(look(b, "a").state, BREAKER_CLOSED);
	breakers_close(b);
}

/* Opens, tries, closes, opens again, thousands of times, with some of them killed in the midst of it. */
static void do_anything(struct breakers *b)
{
	uint32_t seed = (uint32_t)getpid();

	for (;;) {
		struct breaker_pass pass;
		int64_t retry_after_ms;

		if (breaker_enter(b, STR("a"), &pass, &retry_after_ms))
			breaker_leave(b, &pass, (enum breaker_outcome)(next_random(&seed) % 3));
		if (next_random(&seed) % 64 == 0)
			breaker_cool_down(b, STR("a"), 1);
		board->n_passed++;
	}
}

static void those_who_are_killed_leave_no_lock(void **state)
{
	struct conf quick = conf;
	struct breakers *b;

	(void)state;
	quick.breaker_reset_ms = 1;
	quick.breaker_failures = 2;
	b = breakers_open(dir, &quick);
	for (int i = 0; i < 60; i++) {
		unsigned began = board->n_passed;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0)
			do_anything(b);
		for (uint64_t give_up_ms = real_ms() + PATIENCE_MS; board->n_passed < began + 100 && real_ms() < give_up_ms;)
			poll(NULL, 0, 1);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		assert_true(board->n_passed >= began + 100); /* whatever the ones before it left */
	}
	set_ms(clock_mono_us() / 1000 + 500 + 2000 + 5); /* REQUEST_TIMEOUT and two seconds later their places have lapsed */
	for (int i = 0; i < 3; i++) {
		struct breaker_pass pass = enter(b, "a");

		breaker_leave(b, &pass, BREAKER_SUCCESS);
	}
	assert_int_equal(look(b, "a").state, BREAKER_CLOSED);
	breakers_close(b);
}

static void a_killed_prober_holds_its_place_until_it_lapses(void **state)
{
	struct conf one = conf;
	struct breakers *b;
	pid_t pid;

	(void)state;
	one.breaker_successes = 1;
	b = breakers_open(dir, &one);
	set_ms(10000);
	fails(b, "a", 5);
	set_ms(11000);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		enter(b, "a");
		board->n_ready = 1;
		for (;;)
			pause();
	}
	while (!board->n_ready)
		poll(NULL, 0, 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_false(may(b, "a"));
	set_ms(11000 + 2499);
	assert_false(may(b, "a"));
	set_ms(11000 + 2500);
	fails(b, "a", 1);
	assert_int_equal(look(b, "a").state, BREAKER_OPEN);
	breakers_close(b);
}

static void look_at_it(struct breakers *b)
{
	if (look(b, "a").state == BREAKER_OPEN)
		board->n_passed++;
}

static void what_one_saw_all_see(void **state)
{
	struct breakers *b = breakers_open(dir, &conf);

	(void)state;
	fails(b, "a", 5);
	breakers_close(b);
	together(&conf, look_at_it);
	assert_int_equal(board->n_passed, N_PROCESSES);
}

/* ---- the file ---- */

static ino_t inode(void)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_size, sizeof(struct breaker_table));
	return st.st_ino;
}

static void spoil(off_t at, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, bytes, n, at), n);
	close(fd);
}

/* What is known of "a" is gone: the file is a new one. */
static void assert_made_anew(ino_t before)
{
	struct breakers *b = breakers_open(dir, &conf);

	assert_int_not_equal(inode(), before);
	assert_int_equal(look(b, "a").state, BREAKER_CLOSED);
	fails(b, "a", 5);
	breakers_close(b);
	b = breakers_open(dir, &conf);
	assert_int_equal(look(b, "a").state, BREAKER_OPEN);
	breakers_close(b);
}

static void outlives_those_who_opened_it(void **state)
{
	struct breakers *b = breakers_open(dir, &conf);
	ino_t first = inode();

	(void)state;
	fails(b, "a", 5);
	breakers_close(b);
	b = breakers_open(dir, &conf);
	assert_int_equal(inode(), first);
	assert_false(may(b, "a"));
	breakers_close(b);
}

static void a_file_that_does_not_fit_is_made_anew(void **state)
{
	char head[sizeof(uint64_t)] = "garbage", boot = 'x';
	ino_t before;

	(void)state;
	breakers_close(breakers_open(dir, &conf));
	spoil(0, head, sizeof(head));
	assert_made_anew(inode());
	spoil(offsetof(struct breaker_table, size_bytes), head, sizeof(head));
	assert_made_anew(inode());
	spoil(offsetof(struct breaker_table, boot_id), &boot, 1);
	assert_made_anew(inode());
	before = inode();
	assert_int_equal(truncate(path, sizeof(struct breaker_table) - 1), 0);
	assert_made_anew(before);
	assert_int_equal(truncate(path, 0), 0);
	assert_made_anew(0);
}

static void a_link_is_not_followed(void **state)
{
	struct breakers *b = breakers_open(dir, &conf);
	char elsewhere[128];

	(void)state;
	fails(b, "a", 5);
	breakers_close(b);
	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", dir);
	assert_int_equal(rename(path, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, path), 0); /* to a file that would fit */
	b = breakers_open(dir, &conf);
	inode(); /* a file of its own */
	assert_true(may(b, "a"));
	breakers_close(b);
	unlink(elsewhere);
}

static void what_one_left_half_made_is_taken_away(void **state)
{
	char making[128];
	struct stat st;

	(void)state;
	snprintf(making, sizeof(making), "%s/breakers.new", dir);
	assert_int_equal(close(open(making, O_CREAT | O_RDWR | O_CLOEXEC, 0600)), 0);
	breakers_close(breakers_open(dir, &conf));
	inode();
	assert_int_not_equal(lstat(making, &st), 0);
}

static void without_a_file_each_judges_alone(void **state)
{
	char nowhere[128];
	struct breakers *b;
	int fd;

	(void)state;
	snprintf(nowhere, sizeof(nowhere), "%s/nowhere", dir);
	b = breakers_open(nowhere, &conf);
	fails(b, "a", 5);
	assert_false(may(b, "a"));
	assert_true(breakers_take_retry(b));
	breakers_close(b);
	assert_int_equal(mkdir(path, 0700), 0); /* a directory is in the way */
	b = breakers_open(dir, &conf);
	fails(b, "a", 5);
	assert_false(may(b, "a"));
	breakers_close(b);
	assert_int_equal(rmdir(path), 0);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* somebody makes it, and never comes to an end */
	assert_int_equal(flock(fd, LOCK_EX), 0);
	b = breakers_open(dir, &conf);
	assert_int_not_equal(access(path, F_OK), 0);
	fails(b, "a", 5);
	assert_false(may(b, "a"));
	breakers_close(b);
	close(fd);
}

static void fail_once(struct breakers *b)
{
	fails(b, "a", 1);
}

static void those_who_come_at_once_make_one_file(void **state)
{
	struct breakers *b;

	for (int i = 0; i < 20; i++) {
		if (i % 2)
			assert_int_equal(truncate(path, 7), 0); /* all find it damaged */
		else
			unlink(path);
		board->n_ready = 0;
		together(&conf, fail_once);
		b = breakers_open(dir, &conf);
		assert_int_equal(look(b, "a").n, N_PROCESSES); /* in one table */
		breakers_close(b);
	}
	(void)state;
}

enum { N_AGENTS = 1630 }; /* of all together, and of each: the table is nearly full with them, so that they meet */

/* All at the same agent, then each at one of its own, as nearly at once as can be. */
static void fail_for_one_after_the_other(struct breakers *b)
{
	unsigned me = board->n_inside++;
	char id[32];

	for (unsigned i = 0; i < 2 * N_AGENTS; i++) {
		snprintf(id, sizeof(id), "agent-%u-%u", i, i % 2 ? me : 0);
		board->n_passed++;
		while (board->n_passed < (i + 1) * N_PROCESSES)
			sched_yield();
		fails(b, id, 1);
	}
}

static void those_who_come_at_once_make_one_entry(void **state)
{
	struct breaker_view view;
	struct breakers *b;
	size_t at = 0, n = 0;

	(void)state;
	together(&conf, fail_for_one_after_the_other);
	b = breakers_open(dir, &conf);
	while (breakers_next(b, &at, &view))
		n++;
	assert_int_equal(n, N_AGENTS * (1 + N_PROCESSES));
	for (unsigned i = 0; i < 2 * N_AGENTS; i++) {
		for (unsigned j = 0; j < (i % 2 ? N_PROCESSES : 1); j++) {
			char id[32];

			snprintf(id, sizeof(id), "agent-%u-%u", i, j);
			assert_int_equal(look(b, id).n, i % 2 ? 1 : N_PROCESSES);
		}
	}
	breakers_close(b);
}

static void a_full_table_lets_pass(void **state)
{
	struct breakers *b = breakers_open(dir, &conf);
	struct breaker_view view;
	char id[32];
	size_t at = 0, n = 0;
	int saved, log_fd = open(log_path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	(void)state;
	for (int i = 0; i < BREAKER_ENTRIES; i++) {
		snprintf(id, sizeof(id), "agent-%d", i);
		fails(b, id, 5);
	}
	saved = dup(STDERR_FILENO);
	dup2(log_fd, STDERR_FILENO);
	log_set_level(LOG_INFO);
	fails(b, "one-more", 20);
	breaker_cool_down(b, STR("one-more"), 1000);
	assert_true(may(b, "one-more"));
	quiet(NULL);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(log_fd);
	assert_int_equal(n_logged("breakers_full"), 1);
	assert_false(breaker_reset(b, STR("one-more")));
	for (int i = 0; i < BREAKER_ENTRIES; i++) {
		snprintf(id, sizeof(id), "agent-%d", i);
		assert_int_equal(look(b, id).state, BREAKER_OPEN);
	}
	while (breakers_next(b, &at, &view))
		n++;
	assert_int_equal(n, BREAKER_ENTRIES);
	assert_int_equal(breakers_reset_all(b), BREAKER_ENTRIES);
	breakers_close(b);
}

static void damaged_words_shut_nobody_out_for_long(void **state)
{
	struct breakers *b = breakers_open(dir, &conf);
	struct breaker_table *table = breaker_table_open(dir, (char[256]){0}, 256);
	struct breaker_entry *e = table->entries;
	uint64_t begin_ms = 1000000;
	uint32_t seed = 1;

	(void)state;
	set_ms(begin_ms);
	fails(b, "a", 1);
	while (!e->key)
		e++;
	for (int i = 0; i < 20000; i++) {
		uint64_t random[5];
		struct breaker_pass pass;
		int64_t retry_after_ms;
		int n = 0;

		for (size_t j = 0; j < N_ELEMENTS(random); j++)
			random[j] = (uint64_t)next_random(&seed) << 32 | next_random(&seed);
		if (i % 2) /* times near now, too */
			for (size_t j = 0; j < N_ELEMENTS(random); j++)
				random[j] = (begin_ms + random[j] % 4000000) << (j ? 0 : 18) | (j ? 0 : random[j] >> 46);
		set_ms(begin_ms);
		e->word = random[0];
		e->cool_until_ms = random[1];
		for (size_t j = 0; j < BREAKER_MAX_PROBES; j++)
			e->probes[j] = random[2 + j];
		look(b, "a");
		while (!breaker_enter(b, STR("a"), &pass, &retry_after_ms)) {
			assert_in_range(retry_after_ms, 1, BREAKER_MAX_COOL_DOWN_MS + 1000);
			set_ms(clock_mono_us() / 1000 + (uint64_t)retry_after_ms);
			assert_true(++n < 1000); /* a quarter of an hour: the longest lease that can be */
		}
		breaker_leave(b, &pass, (enum breaker_outcome)(i % 3));
	}
	e->id[0] = 1; /* not that id's key */
	assert_false(breakers_next(b, &(size_t){0}, &(struct breaker_view){0}));
	breaker_table_close(table);
	breakers_close(b);
}

static void may_be_looked_at_from_outside(void **state)
{
	char why[256] = "";
	struct breakers *b, *outside = breakers_peek(dir, &conf, why, sizeof(why));
	char garbage = 'x';

	(void)state;
	assert_null(outside);
	assert_non_null(strstr(why, path));
	b = breakers_open(dir, &conf);
	outside = breakers_peek(dir, &conf, why, sizeof(why));
	assert_non_null(outside);
	fails(b, "a", 5);
	assert_int_equal(look(outside, "a").state, BREAKER_OPEN);
	breakers_close(outside);
	breakers_close(b);
	spoil(0, &garbage, 1);
	assert_null(breakers_peek(dir, &conf, why, sizeof(why)));
	assert_non_null(strstr(why, "damaged"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(the_threshold_of_all_together_is_exact),
		TEST(it_opens_once_and_one_of_them_says_so),
		TEST(no_more_try_at_once_than_may),
		TEST(successes_of_all_together_close_it_once),
		TEST(those_who_are_killed_leave_no_lock),
		TEST(a_killed_prober_holds_its_place_until_it_lapses),
		TEST(what_one_saw_all_see),
		TEST(outlives_those_who_opened_it),
		TEST(a_file_that_does_not_fit_is_made_anew),
		TEST(a_link_is_not_followed),
		TEST(what_one_left_half_made_is_taken_away),
		TEST(without_a_file_each_judges_alone),
		TEST(those_who_come_at_once_make_one_file),
		TEST(those_who_come_at_once_make_one_entry),
		TEST(a_full_table_lets_pass),
		TEST(damaged_words_shut_nobody_out_for_long),
		TEST(may_be_looked_at_from_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
