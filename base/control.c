/* Both ends of the control socket. The asking end has a name that the kernel makes up (unix(7), autobind), so that nothing is left behind
 * in RUN_DIR, and is connected, so that nobody but the one who was asked can answer. */
#include "base/control.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

enum { COMMANDS_A_TURN = 16 };

static int make_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	memcpy(address->sun_path, path, strlen(path) + 1);
	return 0;
}

static void answer_one(struct control *c, struct str command, const struct sockaddr_un *who, socklen_t who_len)
{
	uint64_t began_us = clock_mono_us();
	struct buf answer = {0};

	c->on_command(c->arg, command, &answer);
	/* Whoever asks has room for one answer; what he does not take he has given up. */
	if (sendto(c->fd, answer.p, answer.len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)who, who_len) < 0)
		log_debug(NULL, "control_answer_lost", "errno", errno, "bytes", answer.len);
	buf_fini(&answer);
	loop_note(c->loop, "control", clock_mono_us() - began_us);
}

static void on_commands(void *arg, int events)
{
	struct control *c = arg;
	char command[CONTROL_MAX_COMMAND + 1] = "";

	(void)events;
	for (int i = 0; i < COMMANDS_A_TURN; i++) {
		struct sockaddr_un who;
		struct iovec into = {command, sizeof(command)};
		struct msghdr message = {.msg_name = &who, .msg_namelen = sizeof(who), .msg_iov = &into, .msg_iovlen = 1};
		ssize_t n = recvmsg(c->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0)
			return;
		/* What cannot be answered is not carried out either. One byte more than a command may have is too long by itself. */
		if (message.msg_namelen > sizeof(who.sun_family))
			answer_one(c, (struct str){command, (size_t)n}, &who, message.msg_namelen);
	}
}

int control_open(struct control *c, struct loop *loop, const struct process *self,
		 void (*on_command)(void *arg, struct str command, struct buf *answer), void *arg, char *why, size_t why_size)
{
	int send_bytes = 2 * CONTROL_MAX_ANSWER;
	struct sockaddr_un address;
	mode_t mask;
	int err;

	*c = (struct control){.loop = loop, .on_command = on_command, .arg = arg};
	process_path(self->run_dir, "ctl", (struct process_id){self->slot, self->generation}, c->path);
	err = make_address(&address, c->path);
	c->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	if (err == 0 && (c->fd < 0 || bind(c->fd, (const struct sockaddr *)&address, sizeof(address)) != 0))
		err = -errno;
	umask(mask);
	if (err == 0) {
		setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof(send_bytes));
		watch_init(&c->watch, loop, c->fd, on_commands, c);
		watch_set(&c->watch, WATCH_READ);
		return 0;
	}
	snprintf(why, why_size, "RUN_DIR is %s: the control socket %s cannot be made there: %s.", self->run_dir, c->path, strerror(-err));
	if (c->fd >= 0)
		close(c->fd);
	*c = (struct control){.fd = -1};
	return -1;
}

void control_close(struct control *c)
{
	if (!c->loop)
		return;
	watch_fini(&c->watch);
	unlink(c->path);
	close(c->fd);
	*c = (struct control){.fd = -1};
}

static void let_go(struct control_ask *ask)
{
	watch_fini(&ask->watch);
	timer_fini(&ask->timer);
	defer_cancel(&ask->failed);
	if (ask->fd >= 0)
		close(ask->fd);
	ask->fd = -1;
}

static void finish(struct control_ask *ask, int err)
{
	let_go(ask);
	op_finish(&ask->op, err);
}

static void on_cancel(struct op *op)
{
	let_go(CONTAINER_OF(op, struct control_ask, op));
}

static void on_too_late(void *arg)
{
	finish(arg, -ERR_NO_ANSWER);
}

static void on_failed(struct defer *d)
{
	finish(CONTAINER_OF(d, struct control_ask, failed), -ERR_NO_ANSWER);
}

/* Returns 0, -EAGAIN if its queue is full, or another -errno. */
static int send_command(struct control_ask *ask)
{
	ssize_t n;

	do
		n = send(ask->fd, ask->command.p, ask->command.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static void on_event(void *arg, int events)
{
	struct control_ask *ask = arg;
	ssize_t n;
	int err;

	if (events & WATCH_WRITE) {
		err = send_command(ask);
		if (err == 0)
			watch_set(&ask->watch, WATCH_READ);
		else if (err != -EAGAIN)
			finish(ask, -ERR_NO_ANSWER);
		return;
	}
	/* MSG_TRUNC: how long it was, whatever there was room for. */
	n = recv(ask->fd, buf_reserve(&ask->answer, CONTROL_MAX_ANSWER), CONTROL_MAX_ANSWER, MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || n > CONTROL_MAX_ANSWER) {
		finish(ask, -ERR_NO_ANSWER);
		return;
	}
	ask->answer.len = (size_t)n;
	finish(ask, 0);
}

/* Connected first and named then: so nobody else can ever have sent to it. */
static int dial(struct control_ask *ask, const char *run_dir, struct process_id id)
{
	static const sa_family_t unnamed = AF_UNIX;
	struct sockaddr_un address;
	char path[PROCESS_PATH_SIZE];
	int err;

	process_path(run_dir, "ctl", id, path);
	err = make_address(&address, path);
	if (err)
		return err;
	ask->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ask->fd < 0 || connect(ask->fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    bind(ask->fd, (const struct sockaddr *)&unnamed, sizeof(unnamed)) != 0)
		return -errno;
	return send_command(ask);
}

void control_ask_start(struct loop *loop, struct control_ask *ask, const char *run_dir, struct process_id id, struct str command)
{
	uint64_t now_us = clock_mono_us(), deadline_us = ask->op.deadline_us;
	int err;

	control_ask_fini(ask);
	ask->loop = loop;
	ask->command = command;
	ask->fd = -1;
	ask->op.cancel = on_cancel;
	if (!deadline_us)
		deadline_us = now_us + (uint64_t)CONTROL_PATIENCE_MS * 1000;
	err = dial(ask, run_dir, id);
	if (err && err != -EAGAIN) {
		log_debug(NULL, "control_ask_failed", "its_slot", id.slot, "errno", -err);
		loop_defer(loop, &ask->failed, on_failed);
		return;
	}
	watch_init(&ask->watch, loop, ask->fd, on_event, ask);
	watch_set(&ask->watch, err ? WATCH_WRITE : WATCH_READ);
	timer_init(&ask->timer, loop, on_too_late, ask);
	timer_start(&ask->timer, deadline_us > now_us ? (deadline_us - now_us + 999) / 1000 : 0);
}

void control_ask_fini(struct control_ask *ask)
{
	op_cancel(&ask->op);
	buf_fini(&ask->answer);
}
