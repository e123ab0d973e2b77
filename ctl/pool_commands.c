/* Tables for people, JSON for programs. */
#include "ctl/pool_commands.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "base/log.h"
#include "base/uuid.h"
#include "ctl/age.h"
#include "ctl/args.h"
#include "ctl/ask.h"

static int64_t number(const struct json *object, const char *key)
{
	return json_as_int(json_get(object, key), 0);
}

static bool says_ok(const struct asked *one)
{
	return json_as_bool(json_get(one->answer, "ok"), false);
}

static const char *state_of(const struct asked *one)
{
	if (!says_ok(one))
		return "no answer";
	if (json_as_bool(json_get(one->answer, "draining"), false))
		return "draining";
	return json_as_bool(json_get(json_get(one->answer, "database"), "reachable"), false) ? "serving" : "no database";
}

static void print_row(const struct asked *one)
{
	const struct json *a = one->answer, *db = json_get(a, "database");
	char old[AGE_SIZE], used[48] = "-", lag[32] = "-";

	if (a) {
		snprintf(used, sizeof(used), "%" PRId64 "/%" PRId64, number(db, "active"), number(db, "max"));
		snprintf(lag, sizeof(lag), "%.1f", (double)number(json_get(a, "loop"), "p99Us") / 1000);
	}
	printf("%-4d  %-8" PRIu64 "  %-11s  %-6s  %-10.24s  %6" PRIu64 "  %6" PRIu64 "  %9" PRIu64 "  %7s  %7" PRIu64 "  %8s  %s\n",
	       one->id.slot, one->page.pid, state_of(one), a ? age(number(a, "uptimeMs"), old) : "-", one->page.version,
	       a ? (uint64_t)number(a, "turns") : process_get(&one->page, COUNT_TURNS),
	       a ? (uint64_t)number(a, "connections") : process_get(&one->page, COUNT_CONNECTIONS),
	       a ? (uint64_t)number(a, "requests") : process_get(&one->page, COUNT_REQUESTS), used,
	       a ? (uint64_t)number(db, "waiting") : process_get(&one->page, COUNT_DB_WAITING), lag,
	       json_as_bool(json_get(a, "jobs"), false) ? "jobs" : "");
}

static void print_table(const struct ask *ask)
{
	printf("%-4s  %-8s  %-11s  %-6s  %-10s  %6s  %6s  %9s  %7s  %7s  %8s\n", "SLOT", "PID", "STATE", "UP", "VERSION", "TURNS", "CONNS",
	       "REQUESTS", "DB", "WAITING", "P99 (MS)");
	for (size_t i = 0; i < ask->n; i++)
		print_row(&ask->all[i]);
}

static void print_json(const struct ask *ask)
{
	struct buf b = {0};
	struct json_writer w = {.out = &b};

	json_open(&w, '{');
	json_key(&w, "responders");
	json_open(&w, '[');
	for (size_t i = 0; i < ask->n; i++) {
		const struct asked *one = &ask->all[i];

		json_open(&w, '{');
		json_add_int(&w, "slot", one->id.slot);
		json_add_int(&w, "generation", one->id.generation);
		json_add_int(&w, "pid", (int64_t)one->page.pid);
		json_add_cstr(&w, "state", state_of(one));
		json_key(&w, "answer");
		if (one->answer)
			json_put_raw(&w, json_text(one->answer));
		else
			json_put_null(&w);
		json_close(&w, '}');
	}
	json_close(&w, ']');
	json_close(&w, '}');
	printf("%.*s\n", STR_ARG(buf_str(&b)));
	buf_fini(&b);
}

int pool_command(const struct args *args)
{
	bool json = args->n == 1 && strcmp(args->words[0], "--json") == 0;
	struct ask *ask;
	int status;

	if (args->n > 0 && !json)
		return args_refuse("pool takes no arguments but --json.");
	status = ask_all(args, 0, STR("state"), &ask);
	if (status == EXIT_FINE) {
		if (json)
			print_json(ask);
		else
			print_table(ask);
		if (ask_complain(ask) > 0)
			status = EXIT_FAILED;
	}
	ask_free(ask);
	return status;
}

static void print_turns(const struct ask *ask)
{
	int64_t n_left_out = 0;
	char old[AGE_SIZE];

	printf("%-4s  %-36s  %-9s  %6s  %-36s  %s\n", "SLOT", "ANSWER", "STATE", "AGE", "USER", "AGENT");
	for (size_t i = 0; i < ask->n; i++) {
		const struct json *list = json_get(ask->all[i].answer, "liveTurns");

		for (size_t j = 0; j < json_len(list); j++) {
			const struct json *turn = json_at(list, j);

			printf("%-4d  %-36.*s  %-9.*s  %6s  %-36.*s  %.*s\n", ask->all[i].id.slot,
			       STR_ARG(json_as_str(json_get(turn, "answerId"))), STR_ARG(json_as_str(json_get(turn, "state"))),
			       age(number(turn, "ageMs"), old), STR_ARG(json_as_str(json_get(turn, "userId"))),
			       STR_ARG(json_as_str(json_get(turn, "agentId"))));
		}
		n_left_out += number(ask->all[i].answer, "liveTurnsLeftOut");
	}
	if (n_left_out)
		printf("and %" PRId64 " younger ones\n", n_left_out);
}

int turns_command(const struct args *args)
{
	struct ask *ask;
	int status;

	if (args->n > 0)
		return args_refuse("turns takes no arguments.");
	status = ask_all(args, 0, STR("state"), &ask);
	if (status == EXIT_FINE) {
		print_turns(ask);
		if (ask_complain(ask) > 0)
			status = EXIT_FAILED;
	}
	ask_free(ask);
	return status;
}

/* At most one of them has it. */
static int report_stop(const struct ask *ask, const char *answer_id)
{
	bool ending = false;

	for (size_t i = 0; i < ask->n; i++) {
		if (says_ok(&ask->all[i])) {
			printf("%s: stopped; it was a turn of slot %d\n", answer_id, ask->all[i].id.slot);
			return EXIT_FINE;
		}
		ending = ending || str_eq(json_as_str(json_get(ask->all[i].answer, "code")), STR("ENDING"));
	}
	if (ending)
		fprintf(stderr, "llmchatctl: the turn that writes %s is ending already.\n", answer_id);
	else
		fprintf(stderr, "llmchatctl: no live turn of this host writes %s; see: llmchatctl turns\n", answer_id);
	ask_complain(ask);
	return EXIT_FAILED;
}

int stop_command(const struct args *args)
{
	char command[CONTROL_MAX_COMMAND];
	struct ask *ask;
	int status;

	if (args->n != 1)
		return args_refuse("stop needs the id of one answer.");
	if (!uuid_valid(str_from(args->words[0])))
		return args_refuse("The id of an answer is a UUID, as llmchatctl turns shows it.");
	snprintf(command, sizeof(command), "stop %s", args->words[0]);
	status = ask_all(args, 0, str_from(command), &ask);
	if (status == EXIT_FINE)
		status = report_stop(ask, args->words[0]);
	ask_free(ask);
	return status;
}

int log_level_command(const struct args *args)
{
	const char *level = NULL, *slot_text = NULL;
	char command[CONTROL_MAX_COMMAND];
	enum log_level parsed;
	struct ask *ask;
	int64_t slot = 0;
	int status;

	for (int i = 0; i < args->n; i++) {
		int found = args_option(args, &i, "--slot", &slot_text);

		if (found < 0)
			return EXIT_USAGE;
		if (!found && level)
			return args_refuse("log-level takes one level.");
		if (!found)
			level = args->words[i];
	}
	if (slot_text && (!str_to_i64(str_from(slot_text), &slot) || slot < 1 || slot > 64))
		return args_refuse("--slot is %s: it must be a number from 1 to 64.", slot_text);
	if (!level || !log_level_from(str_from(level), &parsed))
		return args_refuse("The level must be debug, info, warn or error.");
	snprintf(command, sizeof(command), "log %s", level);
	status = ask_all(args, (int)slot, str_from(command), &ask);
	if (status == EXIT_FINE) {
		for (size_t i = 0; i < ask->n; i++)
			if (says_ok(&ask->all[i]))
				printf("slot %d: from now on %s\n", ask->all[i].id.slot, level);
		if (ask_complain(ask) > 0)
			status = EXIT_FAILED;
	}
	ask_free(ask);
	return status;
}
