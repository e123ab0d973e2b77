/* Who lives is in RUN_DIR; what they say comes over their sockets. */
#include "ctl/ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/args.h"

static int fail(const char *run_dir, int err)
{
	fprintf(stderr, "llmchatctl: RUN_DIR is %s: ", run_dir);
	if (err == -ENOENT)
		fputs("there is no such directory; has the pool ever been started here?\n", stderr);
	else if (err == -EACCES || err == -EPERM)
		fputs("you may not look into it; run this as root, or as the user that the responders run as.\n", stderr);
	else
		fprintf(stderr, "it cannot be read: %s.\n", strerror(-err));
	return EXIT_FAILED;
}

static int find_living(const char *run_dir, int slot, struct ask *ask)
{
	struct process_id ids[MAX_SIBLINGS];
	int n = process_list(run_dir, ids, N_ELEMENTS(ids));

	if (n < 0)
		return fail(run_dir, n);
	for (int i = 0; i < n; i++) {
		struct asked *one = &ask->all[ask->n];
		int fd = slot == 0 || ids[i].slot == slot ? process_look(run_dir, ids[i]) : -ENOENT;

		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fail(run_dir, fd);
		one->id = ids[i];
		if (!process_read(fd, one->id, &one->page))
			one->page = (struct process_page){.magic = 0};
		close(fd);
		ask->n++;
	}
	if (ask->n > 0)
		return EXIT_FINE;
	fprintf(stderr, "llmchatctl: RUN_DIR is %s: no responder runs there", run_dir);
	if (slot)
		fprintf(stderr, " in slot %d", slot);
	fputs(".\n", stderr);
	return EXIT_FAILED;
}

static void on_done(struct op *op)
{
	struct asked *one = CONTAINER_OF(op, struct asked, ask.op);
	const char *why;

	one->done = true;
	if (op->err || json_parse(buf_str(&one->ask.answer), &JSON_CAPS_USER, &one->answer, &why) != 0)
		one->answer = NULL;
}

static void ask_living(const char *run_dir, struct ask *ask, struct str command)
{
	struct loop *loop = loop_new();

	for (size_t i = 0; i < ask->n; i++) {
		ask->all[i].ask.op.done = on_done;
		ask->all[i].ask.op.deadline_us = clock_mono_us() + (uint64_t)ASK_PATIENCE_MS * 1000;
		control_ask_start(loop, &ask->all[i].ask, run_dir, ask->all[i].id, command);
	}
	for (size_t i = 0; i < ask->n; i++)
		while (!ask->all[i].done)
			loop_turn(loop, true);
	loop_free(loop);
}

int ask_all(const struct args *args, int slot, struct str command, struct ask **out)
{
	struct ask *ask = *out = mem_alloc(sizeof(*ask));
	struct conf conf = {0};
	int status = args_load_conf(args, &conf);

	if (status == EXIT_FINE)
		status = find_living(conf.run_dir, slot, ask);
	if (status == EXIT_FINE)
		ask_living(conf.run_dir, ask, command);
	conf_fini(&conf);
	return status;
}

void ask_free(struct ask *ask)
{
	for (size_t i = 0; i < ask->n; i++) {
		json_free(ask->all[i].answer);
		control_ask_fini(&ask->all[i].ask);
	}
	free(ask);
}

size_t ask_complain(const struct ask *ask)
{
	size_t n = 0;

	for (size_t i = 0; i < ask->n; i++) {
		if (ask->all[i].answer)
			continue;
		fprintf(stderr, "llmchatctl: the responder of slot %d (process %llu) lives, but has not answered within %d ms.\n",
			ask->all[i].id.slot, (unsigned long long)ask->all[i].page.pid, ASK_PATIENCE_MS);
		n++;
	}
	return n;
}
