/* The log of such a turn is written anew from the row: ids, text, what came beside it, usage and end are the same; where they are cut,
 * and how far a workflow was, are not. */
#include "chat/replay.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "chat/turn_log.h"
#include "chat/turns.h"
#include "db/idempotency.h"

enum { CHUNK_CHARS = 4096 };

/* Each event is a letter, the length of its data, a colon and the data; the text has its place, but is stored by itself. */
static const char letters[] = {[EVENT_REASONING] = 'r', [EVENT_TOOL] = 't', [EVENT_INTERACTIVE] = 'i', [EVENT_CHUNK] = 'c'};

static void put_piece(struct buf *out, enum event_type type, struct str data)
{
	buf_printf(out, "%c%zu:", letters[type], data.len);
	buf_add_str(out, data);
}

static void put_reasoning(struct buf *out, struct buf *reasoning)
{
	if (reasoning->len)
		put_piece(out, EVENT_REASONING, buf_str(reasoning));
	reasoning->len = 0;
}

void replay_collect(const struct answer *answer, struct buf *out)
{
	struct reader reader = {.answer = answer};
	struct answer_event event;
	struct buf reasoning = {0}; /* its many pieces are one */
	bool text = false, more = false;

	while (reader_next(&reader, &event)) {
		if (event.type == EVENT_REASONING) {
			buf_add_str(&reasoning, event.data);
		} else if (event.type == EVENT_CHUNK && !text) {
			put_reasoning(out, &reasoning);
			put_piece(out, EVENT_CHUNK, STR(""));
			text = true;
		} else if (event.type == EVENT_TOOL || event.type == EVENT_INTERACTIVE) {
			put_reasoning(out, &reasoning);
			put_piece(out, event.type, event.data);
		}
		more |= event.type == EVENT_REASONING || event.type == EVENT_TOOL || event.type == EVENT_INTERACTIVE;
	}
	put_reasoning(out, &reasoning);
	buf_fini(&reasoning);
	if (!more)
		buf_fini(out);
}

static int add_text(struct turn *turn, struct str text)
{
	int err = 0;

	while (text.len && !err) {
		struct llm_event event = {.type = LLM_TEXT, .text = {text.p, utf8_prefix(text, CHUNK_CHARS)}};

		err = turn_log_add(turn, &event);
		text.p += event.text.len;
		text.len -= event.text.len;
	}
	return err;
}

/* Cuts the next piece off; false if there is none, or nobody knows what it is. */
static bool next_piece(struct str *beside, enum event_type *type, struct str *data)
{
	struct str rest = *beside, head = str_cut(&rest, ':');
	int64_t n;

	if (head.len < 2 || !rest.p || !str_to_i64((struct str){head.p + 1, head.len - 1}, &n) || n < 0 || (size_t)n > rest.len)
		return false;
	for (*type = 0; *type < N_ELEMENTS(letters) && letters[*type] != head.p[0]; (*type)++)
		;
	*data = (struct str){rest.p, (size_t)n};
	*beside = (struct str){rest.p + n, rest.len - (size_t)n};
	return *type < N_ELEMENTS(letters);
}

static int add_pieces(struct turn *turn, const struct stored_answer *stored)
{
	struct str beside = stored->beside, data;
	enum event_type type;
	bool text = false;
	int err = 0;

	while (!err && next_piece(&beside, &type, &data)) {
		text |= type == EVENT_CHUNK;
		err = type == EVENT_CHUNK ? add_text(turn, stored->content) : answer_append(&turn->answer, type, data);
	}
	return err || text ? err : add_text(turn, stored->content);
}

static int fill_log(struct turn *turn, const struct stored_answer *stored)
{
	struct llm_event usage = {.type = LLM_USAGE, .usage = turn->usage};

	turn->first_event_us = turn->began_us;
	turn_log_open(turn);
	if (add_pieces(turn, stored) != 0)
		return -ERR_OVERLOADED;
	if (turn->has_usage && !turn->usage_estimated && turn_log_add(turn, &usage) != 0)
		return -ERR_OVERLOADED;
	turn_log_end(turn);
	return 0;
}

struct turn *turn_replay(struct turns *turns, struct agent *agent, const struct stored_answer *stored, const char *request_id)
{
	bool whole = str_eq(stored->status, STR("complete")) || str_eq(stored->status, STR("stopped"));
	struct turn *turn = mem_alloc(sizeof(*turn));

	turn->turns = turns;
	turn->agent = agent_ref(agent);
	turn->state = TURN_OVER;
	turn->replayed = turn->settled = true;
	turn->retry_after_s = -1;
	turn->began_us = turn->over_us = clock_mono_us();
	turn->created_real_us = (uint64_t)stored->created_us;
	turn->question_id = uuid_from(stored->question_id);
	turn->answer_id = uuid_from(stored->id);
	turn->chat_id = arena_copy(&turn->arena, stored->chat_id);
	turn->log = (struct log_ctx){.request_id = arena_cstr(&turn->arena, str_from(request_id)), .step = "turn"};
	turn->has_usage = stored->has_usage;
	turn->usage_estimated = stored->usage_estimated;
	turn->usage = (struct llm_usage){stored->prompt_tokens, stored->completion_tokens, stored->total_tokens};
	snprintf(turn->finish_reason, sizeof(turn->finish_reason), "%.*s", STR_ARG(stored->finish_reason));
	answer_init(&turn->answer, turns->loop, &turns->budget);
	list_init(&turn->node);
	list_init(&turn->write.node);
	list_init(&turn->gone.node);
	if (!whole)
		turn->err = -err_of_code(stored->error_code);
	else if (fill_log(turn, stored) != 0) {
		turn_free(turn);
		return NULL;
	}
	return turn;
}
