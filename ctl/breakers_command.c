/* The list is read from the responders' file, also when none of them runs or answers; a reset is told to them, so that their log has it. */
#include "ctl/breakers_command.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/breaker.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/mem.h"
#include "ctl/age.h"
#include "ctl/args.h"
#include "ctl/ask.h"

const char breakers_help[] = "breakers list            the agents of this host that a call has ever failed for since the boot, or that "
			     "were to be left alone for a while\n"
			     "  --json                 for programs\n"
			     "breakers reset AGENT_ID  close its breaker and end its cool-down: calls go out again at once\n"
			     "breakers reset --all     the same for all of them\n";

/* ---- list ---- */

static int compare_ids(const void *a, const void *b)
{
	return strcmp(((const struct breaker_view *)a)->agent_id, ((const struct breaker_view *)b)->agent_id);
}

static size_t read_all(const struct breakers *b, struct breaker_view **out)
{
	struct breaker_view view;
	size_t at = 0, n = 0, room = 0;

	*out = NULL;
	while (breakers_next(b, &at, &view)) {
		if (n == room) {
			room = room ? 2 * room : 64;
			*out = mem_resize(*out, room * sizeof(**out));
		}
		(*out)[n++] = view;
	}
	if (n)
		qsort(*out, n, sizeof(**out), compare_ids);
	return n;
}

static void print_table(const struct breaker_view *all, size_t n)
{
	printf("%-9s  %8s  %9s  %6s  %6s  %11s  %s\n", "BREAKER", "FAILURES", "SUCCESSES", "PROBES", "SINCE", "RETRY AFTER", "AGENT");
	for (size_t i = 0; i < n; i++) {
		const struct breaker_view *v = &all[i];
		bool half_open = v->state == BREAKER_HALF_OPEN;
		char since[AGE_SIZE], pause[48] = "-";

		if (v->retry_after_ms > 0)
			snprintf(pause, sizeof(pause), "%s%.1fs", v->cooling ? "cools " : "", (double)v->retry_after_ms / 1000);
		printf("%-9s  %8u  %9u  %6u  %6s  %11s  %s\n", breaker_state_name(v->state), half_open ? 0 : v->n, half_open ? v->n : 0,
		       v->n_probes, v->for_ms < 0 ? "-" : age(v->for_ms, since), pause, v->agent_id);
	}
}

static void print_json(const struct breaker_view *all, size_t n)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '[');
	for (size_t i = 0; i < n; i++) {
		const struct breaker_view *v = &all[i];
		bool half_open = v->state == BREAKER_HALF_OPEN;

		json_open(&w, '{');
		json_add_cstr(&w, "agentId", v->agent_id);
		json_add_cstr(&w, "breaker", breaker_state_name(v->state));
		json_add_int(&w, "failures", half_open ? 0 : v->n);
		json_add_int(&w, "successes", half_open ? v->n : 0);
		json_add_int(&w, "probes", v->n_probes);
		json_key(&w, "sinceMs");
		if (v->for_ms < 0)
			json_put_null(&w);
		else
			json_put_int(&w, v->for_ms);
		json_add_int(&w, "retryAfterMs", v->retry_after_ms);
		json_add_bool(&w, "coolingDown", v->cooling);
		json_close(&w, '}');
	}
	json_close(&w, ']');
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	buf_fini(&b);
}

static int list(const struct args *args)
{
	bool json = args->n == 2 && strcmp(args->words[1], "--json") == 0;
	struct breaker_view *all;
	struct conf conf = {0};
	struct breakers *b;
	char why[256];
	int status;

	if (args->n > 1 && !json)
		return args_refuse("breakers list takes no arguments but --json.");
	status = args_load_conf(args, &conf);
	b = status == EXIT_FINE ? breakers_peek(conf.run_dir, &conf, why, sizeof(why)) : NULL;
	if (b) {
		size_t n = read_all(b, &all);

		if (json)
			print_json(all, n);
		else
			print_table(all, n);
		free(all);
	} else if (status == EXIT_FINE) {
		status = args_fail(
			"The responders' breakers cannot be read: %s. They are made when the first responder starts, for root and the "
			"responders' own user.",
			why);
	}
	breakers_close(b);
	conf_fini(&conf);
	return status;
}

/* ---- reset ---- */

/* They share one file: what the first one did, the others find done. */
static int report(const struct ask *ask, const char *id)
{
	int64_t n_changed = 0;
	bool done = false, unknown = false;

	for (size_t i = 0; i < ask->n; i++) {
		const struct json *answer = ask->all[i].answer;

		n_changed += json_as_int(json_get(answer, "changed"), 0);
		done = done || json_as_bool(json_get(answer, "ok"), false);
		unknown = unknown || str_eq(json_as_str(json_get(answer, "code")), STR("NOT_FOUND"));
	}
	ask_complain(ask);
	if (!done && unknown)
		return args_fail("There is no agent %s.", id);
	if (!done)
		return args_fail("No responder has done it.");
	if (id)
		printf("%s: %s\n", id, n_changed ? "closed" : "was closed already, without a failure");
	else
		printf("%" PRId64 " reset\n", n_changed);
	return EXIT_FINE;
}

static int reset(const struct args *args)
{
	const char *id = args->n == 2 && strcmp(args->words[1], "--all") != 0 ? args->words[1] : NULL;
	char command[CONTROL_MAX_COMMAND] = "reset-breakers";
	struct ask *ask;
	int status;

	if (args->n != 2)
		return args_refuse("breakers reset needs the id of one agent, or --all.");
	if (id && (strlen(id) > BREAKER_ID_BYTES || !*id || !str_only(str_from(id), STR(NAME_CHARS))))
		return args_refuse("%s is no id of an agent.", id);
	if (id)
		snprintf(command, sizeof(command), "reset-breaker %s", id);
	status = ask_all(args, 0, str_from(command), &ask);
	if (status == EXIT_FINE)
		status = report(ask, id);
	ask_free(ask);
	return status;
}

int breakers_command(const struct args *args)
{
	if (args->n == 0)
		return args_refuse("breakers needs an action: list or reset.");
	if (strcmp(args->words[0], "list") == 0)
		return list(args);
	if (strcmp(args->words[0], "reset") == 0)
		return reset(args);
	return args_refuse("breakers does not know %s.", args->words[0]);
}
