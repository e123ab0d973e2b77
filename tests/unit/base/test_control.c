/* The control socket and whoever asks it: rubbish, dead and full peers, and nothing that waits. */
#include "base/control.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "tests/unit/support.h"

static char dir[64];
static struct loop *loop;
static struct process self;
static struct control control;
static char got[CONTROL_MAX_COMMAND + 1]; /* the last command, and how many there were */
static size_t got_len, n_commands, answer_size;

/* Answers what it was told, or so many bytes. */
static void on_command(void *arg, struct str command, struct buf *answer)
{
	assert_ptr_equal(arg, &self);
	n_commands++;
	got_len = command.len;
	memcpy(got, command.p, command.len);
	if (answer_size) {
		memset(buf_reserve(answer, answer_size), 'x', answer_size);
		answer->len += answer_size;
	} else {
		buf_add_str(answer, STR("you said "));
		buf_add_str(answer, command);
	}
}

static int make(void **state)
{
	char why[256];

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/control-test-XXXXXX");
	if (!mkdtemp(dir) || process_open(&self, dir, "node", 1, why, sizeof(why)) != 0)
		return -1;
	loop = loop_new();
	n_commands = answer_size = 0;
	if (control_open(&control, loop, &self, on_command, &self, why, sizeof(why)) != 0)
		return -1;
	return 0;
}

static int end(void **state)
{
	(void)state;
	control_close(&control);
	process_close(&self);
	return loop_free(loop) && rmdir(dir) == 0 ? 0 : -1; /* fails if anything was left behind */
}

struct asking {
	struct control_ask ask;
	bool done, inside;
	int err;
};

static void on_done(struct op *op)
{
	struct asking *a = CONTAINER_OF(op, struct asking, ask.op);

	assert_false(a->inside);
	assert_false(a->done);
	a->done = true;
	a->err = op->err;
}

static struct process_id me(void)
{
	return (struct process_id){self.slot, self.generation};
}

static void start(struct asking *a, struct process_id id, struct str command)
{
	a->done = false;
	a->inside = true;
	a->ask.op.done = on_done;
	control_ask_start(loop, &a->ask, dir, id, command);
	a->inside = false;
}

static int ask(struct asking *a, struct process_id id, struct str command)
{
	start(a, id, command);
	TURN_UNTIL(loop, a->done);
	assert_false(op_waiting(&a->ask.op));
	return a->err;
}

/* A peer that is no control socket of ours: bound, and left alone. */
static int make_peer(struct process_id id)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char path[PROCESS_PATH_SIZE];
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	process_path(dir, "ctl", id, path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void remove_peer(struct process_id id, int fd)
{
	char path[PROCESS_PATH_SIZE];

	process_path(dir, "ctl", id, path);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

static void answers_what_it_is_asked(void **state)
{
	struct asking a = {.done = false};
	struct stat st;

	(void)state;
	assert_int_equal(stat(control.path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true(strlen(control.path) < sizeof(((struct sockaddr_un *)NULL)->sun_path));
	assert_int_equal(ask(&a, me(), STR("state")), 0);
	assert_text(buf_str(&a.ask.answer), "you said state");
	assert_int_equal(ask(&a, me(), STR("log debug")), 0); /* once more with the same ask */
	assert_text(buf_str(&a.ask.answer), "you said log debug");
	control_ask_fini(&a.ask);
	control_ask_fini(&a.ask);
}

static void hands_over_any_bytes_and_no_more_than_it_takes(void **state)
{
	struct asking a = {.done = false};
	char bytes[CONTROL_MAX_COMMAND + 50];
	uint32_t seed = 7;

	(void)state;
	for (size_t len = 0; len <= sizeof(bytes); len += len < 8 ? 1 : 29) {
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)next_random(&seed);
		assert_int_equal(ask(&a, me(), (struct str){bytes, len}), 0);
		/* A longer one arrives cut, and with one byte more than is allowed: so it can be refused. */
		assert_int_equal(got_len, len <= CONTROL_MAX_COMMAND ? len : CONTROL_MAX_COMMAND + 1);
		assert_memory_equal(got, bytes, got_len);
	}
	control_ask_fini(&a.ask);
}

static void carries_nothing_out_for_those_without_a_name(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct asking a = {.done = false};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)state;
	memcpy(address.sun_path, control.path, strlen(control.path) + 1);
	for (int i = 0; i < 5; i++)
		assert_int_equal(sendto(fd, "drain", 5, MSG_DONTWAIT, (struct sockaddr *)&address, sizeof(address)), 5);
	close(fd);
	assert_int_equal(ask(&a, me(), STR("state")), 0);
	assert_int_equal(n_commands, 1);
	control_ask_fini(&a.ask);
}

static void throws_away_descriptors_that_come_along(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char space[CMSG_SPACE(sizeof(int))] = "";
	struct iovec text = {(char[]){'x'}, 1};
	struct msghdr message = {.msg_name = &address,
				 .msg_namelen = sizeof(address),
				 .msg_iov = &text,
				 .msg_iovlen = 1,
				 .msg_control = space,
				 .msg_controllen = sizeof(space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	sa_family_t unnamed = AF_UNIX;
	size_t before = count_fds();

	(void)state;
	memcpy(address.sun_path, control.path, strlen(control.path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&unnamed, sizeof(unnamed)), 0);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	assert_int_equal(sendmsg(fd, &message, 0), 1);
	TURN_UNTIL(loop, n_commands == 1);
	assert_int_equal(count_fds(), before);
	close(fd);
}

static void goes_on_when_the_asker_is_gone(void **state)
{
	struct asking a = {.done = false};

	(void)state;
	for (int i = 0; i < 5; i++) {
		start(&a, me(), STR("state"));
		op_cancel(&a.ask.op);
		assert_false(op_waiting(&a.ask.op));
	}
	assert_int_equal(ask(&a, me(), STR("state")), 0);
	assert_int_equal(n_commands, 6);
	control_ask_fini(&a.ask);
}

static void gives_the_largest_answer_and_no_larger_one(void **state)
{
	struct asking a = {.done = false};

	(void)state;
	answer_size = CONTROL_MAX_ANSWER;
	assert_int_equal(ask(&a, me(), STR("state")), 0);
	assert_int_equal(a.ask.answer.len, CONTROL_MAX_ANSWER);
	answer_size = CONTROL_MAX_ANSWER + 1;
	assert_int_equal(ask(&a, me(), STR("state")), -ERR_NO_ANSWER);
	control_ask_fini(&a.ask);
}

static void a_dead_peer_fails_at_once(void **state)
{
	struct process_id dead = {2, 22};
	struct asking a = {.done = false};
	uint64_t began_ms = real_ms();
	char path[PROCESS_PATH_SIZE];

	(void)state;
	assert_int_equal(ask(&a, dead, STR("state")), -ERR_NO_ANSWER); /* no socket */
	close(make_peer(dead));
	assert_int_equal(ask(&a, dead, STR("state")), -ERR_NO_ANSWER); /* nobody behind it */
	assert_true(real_ms() - began_ms < CONTROL_PATIENCE_MS);
	control_ask_start(loop, &a.ask,
			  "/no/such/place/with/a/name/that/is/longer/than/what/the/address/of/a/unix/socket/can/ever/hold/so/far", dead,
			  STR("state"));
	a.done = false;
	TURN_UNTIL(loop, a.done);
	assert_int_equal(a.err, -ERR_NO_ANSWER);
	process_path(dir, "ctl", dead, path);
	assert_int_equal(unlink(path), 0);
	start(&a, dead, STR("state"));
	op_cancel(&a.ask.op); /* before it is told */
	turn_few(loop);
	assert_false(op_waiting(&a.ask.op));
}

static void a_silent_peer_is_given_up_at_the_deadline(void **state)
{
	struct process_id silent = {2, 22};
	struct asking a = {.done = false};
	uint64_t began_ms = real_ms();
	int peer = make_peer(silent);

	(void)state;
	a.ask.op.deadline_us = clock_mono_us() + 100000;
	assert_int_equal(ask(&a, silent, STR("state")), -ERR_NO_ANSWER);
	assert_true(real_ms() - began_ms >= 100);
	a.ask.op.deadline_us = 1; /* long ago */
	assert_int_equal(ask(&a, silent, STR("state")), -ERR_NO_ANSWER);
	remove_peer(silent, peer);
	control_ask_fini(&a.ask);
}

/* Returns how many commands the peer has taken by now. */
static size_t take_all(int peer, size_t *n_taken)
{
	char command[16];

	while (recv(peer, command, sizeof(command), MSG_DONTWAIT) == 5)
		++*n_taken;
	return *n_taken;
}

static void a_full_peer_holds_nobody_up_and_is_asked_when_it_has_room(void **state)
{
	struct process_id full = {2, 22};
	struct asking asks[40] = {{.done = false}}, live = {.done = false};
	int peer = make_peer(full);
	size_t n_taken = 0;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(asks); i++) { /* net.unix.max_dgram_qlen is 10 by default */
		asks[i].ask.op.deadline_us = clock_mono_us() + 60000000;
		start(&asks[i], full, STR("state"));
	}
	assert_int_equal(ask(&live, me(), STR("state")), 0); /* meanwhile */
	assert_true(take_all(peer, &n_taken) < N_ELEMENTS(asks));
	TURN_UNTIL(loop, take_all(peer, &n_taken) == N_ELEMENTS(asks));
	turn_few(loop);
	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		assert_false(asks[i].done); /* taken is not answered */
	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		control_ask_fini(&asks[i].ask);
	control_ask_fini(&live.ask);
	remove_peer(full, peer);
}

static void nobody_else_can_answer(void **state)
{
	struct process_id slow = {2, 22};
	struct sockaddr_un who;
	socklen_t who_len = sizeof(who);
	struct asking a = {.done = false};
	int peer = make_peer(slow), stranger = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char command[16];

	(void)state;
	start(&a, slow, STR("state"));
	assert_int_equal(recvfrom(peer, command, sizeof(command), 0, (struct sockaddr *)&who, &who_len), 5);
	assert_int_equal(sendto(stranger, "lies", 4, MSG_DONTWAIT, (struct sockaddr *)&who, who_len), -1);
	assert_int_equal(sendto(peer, "truth", 5, MSG_DONTWAIT, (struct sockaddr *)&who, who_len), 5);
	TURN_UNTIL(loop, a.done);
	assert_text(buf_str(&a.ask.answer), "truth");
	control_ask_fini(&a.ask);
	close(stranger);
	remove_peer(slow, peer);
}

static void many_at_once_are_all_answered(void **state)
{
	struct asking asks[50] = {{.done = false}};
	size_t before = count_fds();

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(asks); i++)
		start(&asks[i], me(), STR("state"));
	for (size_t i = 0; i < N_ELEMENTS(asks); i++) {
		TURN_UNTIL(loop, asks[i].done);
		assert_int_equal(asks[i].err, 0);
		control_ask_fini(&asks[i].ask);
	}
	turn_few(loop);
	assert_int_equal(count_fds(), before);
}

static void says_where_the_socket_cannot_be_made(void **state)
{
	struct process elsewhere = self;
	struct control other;
	char why[512] = "";

	(void)state;
	snprintf(elsewhere.run_dir, sizeof(elsewhere.run_dir), "%s/absent", dir);
	assert_int_equal(control_open(&other, loop, &elsewhere, on_command, &self, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "RUN_DIR"));
	assert_non_null(strstr(why, "/absent/ctl.1."));
	control_close(&other);
	memset(elsewhere.run_dir, 'x', 120);
	elsewhere.run_dir[120] = '\0';
	assert_int_equal(control_open(&other, loop, &elsewhere, on_command, &self, why, sizeof(why)), -1);
	assert_non_null(strstr(why, "too long"));
	control_close(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make, end)
		T(answers_what_it_is_asked),
		T(hands_over_any_bytes_and_no_more_than_it_takes),
		T(carries_nothing_out_for_those_without_a_name),
		T(throws_away_descriptors_that_come_along),
		T(goes_on_when_the_asker_is_gone),
		T(gives_the_largest_answer_and_no_larger_one),
		T(a_dead_peer_fails_at_once),
		T(a_silent_peer_is_given_up_at_the_deadline),
		T(a_full_peer_holds_nobody_up_and_is_asked_when_it_has_room),
		T(nobody_else_can_answer),
		T(many_at_once_are_all_answered),
		T(says_where_the_socket_cannot_be_made),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
