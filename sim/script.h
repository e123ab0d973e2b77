/* What a model's name asks the simulator to do: `sim-n100-d20-cut7` and the like.
 * sim/README.md has the grammar. */
#ifndef SIM_SCRIPT_H
#define SIM_SCRIPT_H

#include <stddef.h>

enum {
	SCRIPT_NAME_MAX_BYTES = 200,
	SCRIPT_MAX_TOKENS = 10 * 1000 * 1000,
	SCRIPT_MAX_TOKEN_BYTES = 1024 * 1024,
	SCRIPT_LINE_BYTES = 10 * 1024 * 1024,
	SCRIPT_NEVER = -1,
};

enum script_text { SCRIPT_EN, SCRIPT_ZH, SCRIPT_EMOJI, SCRIPT_ECHO };

/* Every field is an int, so that one table can describe them all. */
struct script {
	int n_tokens;      /* SCRIPT_NEVER: not given; 20, or all of an echo */
	int gap_ms;        /* between tokens; 0 as fast as the socket takes them */
	int first_ms;      /* before the first token */
	int first_given;   /* whether the name said so: errors wait only then */
	int text;          /* enum script_text */
	int token_bytes;   /* 0: as long as the text's tokens are */
	int byte_writes;   /* each byte of the body in a write of its own */
	int error_status;  /* 0, or the HTTP status to answer with */
	int retry_after_s; /* SCRIPT_NEVER: no header */
	int hang;          /* never answer */
	int stall_after;   /* tokens, or SCRIPT_NEVER; likewise the next five */
	int cut_after;
	int error_after;
	int garbage_after;  /* a frame that is no JSON */
	int bad_utf8_after; /* the next token is no UTF-8 */
	int line_after;     /* a line of SCRIPT_LINE_BYTES */
	int no_end;         /* neither finish_reason nor [DONE] */
	int no_done;        /* finish_reason, but no [DONE] */
	int no_usage;       /* not even when asked for */
	int n_reasoning;
	int null_choices; /* the usage chunk has "choices":null */
	int nul;          /* one token contains \u0000 */
	int length_stop;  /* finish_reason is "length" */
	int html;         /* a web page instead of an answer */
	int tool;         /* the answer ends with a call of a tool */
	int n_tools;      /* OpenAI's: with so many, unless a tool has just answered */
	int refusal;      /* it ends because the model will not say more */
	int n_steps;      /* of a workflow, before the text */
	int form;         /* the workflow asks its user something */
	int replace;      /* all of the text is replaced at the end */
	int every;        /* what goes wrong does so at every n-th question only; 0: at each */
};

/* Reads a model's name.
 * Returns 0, or -1 with a sentence in why that names the directive at fault. */
int script_parse(struct script *script, const char *name, char *why, size_t why_size);
/* Takes away what would go wrong: errors, silences, cuts and rubbish. */
void script_spare(struct script *script);

#endif
