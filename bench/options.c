/* Reading the command line. */
#include "bench/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { MS = 1000, SECOND = 1000000, MAX_CLIENTS = 28000, SMALL_BUFFER = 8192 };

void options_print_usage(void)
{
	fputs("bench/load MODE --port PORT [OPTION ...]      load on 127.0.0.1:PORT; one JSON object on stdout\n"
	      "\n"
	      "  streams   --n streams, each on a connection of its own, every event checked\n"
	      "  plain     --n connections that ask for plain answers for --duration-s, each answer checked\n"
	      "  get       the same with GETs of --path, whose answers must be 200 and contain --expect\n"
	      "  wrong     the same with requests that must be refused: each must get its 4xx and a whole error\n"
	      "\n"
	      "  --kind llmchat|openai    whose address and events (llmchat)\n"
	      "  --agent NAME             agent, or with --kind openai model (bench)\n"
	      "  --body JSON              body instead of the usual one: @i@ is the request's number, @a@ the agent\n"
	      "  --path PATH              address instead of the kind's\n"
	      "  --path-file FILE         addresses, one a line, that GETs take in turn\n"
	      "  --expect TEXT            what each answer to a GET has in it (\"{\")\n"
	      "  --header 'NAME: VALUE'   one more header line\n"
	      "  --bearer-file FILE       access tokens or keys, one a line, that the requests take in turn\n"
	      "  --n N                    streams or connections (1)\n"
	      "  --ramp-ms MS             begin them spread over so long; 0: at once (0)\n"
	      "  --duration-s S           begin another one wherever one has ended, for so long (streams: 0, each once; else 10)\n"
	      "  --warmup-s S             of that, so long at first is not counted in figures (0)\n"
	      "  --think-ms MS            pause between two of them on the same place (0)\n"
	      "  --timeout-s S            one may take so long (60)\n"
	      "  --cookies K              K visitors take turns; 0: every request is a new visitor's (streams: 0, plain: one for each "
	      "connection)\n"
	      "  --tokens N               tokens each answer must have; 0: any number of whole ones (0)\n"
	      "  --token-bytes N          as in the provider's size directive (0: as they come)\n"
	      "  --text en|any            compare the text with the provider's, or not (en)\n"
	      "  --leave-after K          leavers: close after K events\n"
	      "  --leave-up-to K          leavers: close after 1, 2, … K events in turn\n"
	      "  --stop-after-bytes N     slow readers: read N bytes of the answer, then nothing for --stop-s S (5), then the rest\n"
	      "  --bytes-per-s N          slow readers: read no faster than that\n"
	      "\n"
	      "Exit status: 0 all as it should be, 1 some were not, 2 usage.\n",
	      stdout);
}

static bool complain(const char *what, const char *value)
{
	fprintf(stderr, "bench/load: %s cannot be \"%s\"; --help shows what there is\n", what, value);
	return false;
}

static bool read_number(const char *name, const char *value, int64_t max, size_t *out)
{
	int64_t n;

	if (!str_to_i64(str_from(value), &n) || n < 0 || n > max)
		return complain(name, value);
	*out = (size_t)n;
	return true;
}

static bool read_seconds(const char *name, const char *value, uint64_t *us)
{
	double s;

	if (!str_to_double(str_from(value), &s) || !(s >= 0 && s <= 1000000))
		return complain(name, value);
	*us = (uint64_t)(s * SECOND);
	return true;
}

static bool read_lines(struct lines *lines, const char *name, const char *path)
{
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return complain(name, path);
	do {
		n = fread(buf_reserve(&lines->text, 65536), 1, 65536, f);
		lines->text.len += n;
	} while (n > 0);
	fclose(f);
	lines->line = mem_alloc((lines->text.len + 1) * sizeof(*lines->line)); /* more than there can be */
	for (struct str rest = buf_str(&lines->text), line; rest.len > 0;) {
		line = str_trim(str_cut(&rest, '\n'));
		if (line.len)
			lines->line[lines->n++] = line;
	}
	return lines->n > 0 || complain(name, path);
}

static void lines_fini(struct lines *lines)
{
	free(lines->line);
	buf_fini(&lines->text);
}

void options_fini(struct options *o)
{
	lines_fini(&o->bearers);
	lines_fini(&o->paths);
}

enum {
	O_PORT = 'p',
	O_KIND = 'k',
	O_AGENT = 'a',
	O_BODY = 'b',
	O_PATH = 'P',
	O_EXPECT = 'e',
	O_HEADER = 'H',
	O_BEARERS = 'A',
	O_PATHS = 'F',
	O_N = 'n',
	O_RAMP = 'r',
	O_DURATION = 'd',
	O_WARMUP = 'w',
	O_THINK = 't',
	O_TIMEOUT = 'T',
	O_COOKIES = 'c',
	O_TOKENS = 'o',
	O_TOKEN_BYTES = 'O',
	O_TEXT = 'x',
	O_LEAVE = 'l',
	O_LEAVE_UP_TO = 'L',
	O_STOP_AFTER = 's',
	O_STOP = 'S',
	O_BYTES_PER_S = 'B'
};

static const struct option names[] = {
	{"port", 1, NULL, O_PORT},
	{"kind", 1, NULL, O_KIND},
	{"agent", 1, NULL, O_AGENT},
	{"body", 1, NULL, O_BODY},
	{"path", 1, NULL, O_PATH},
	{"expect", 1, NULL, O_EXPECT},
	{"header", 1, NULL, O_HEADER},
	{"bearer-file", 1, NULL, O_BEARERS},
	{"path-file", 1, NULL, O_PATHS},
	{"n", 1, NULL, O_N},
	{"ramp-ms", 1, NULL, O_RAMP},
	{"duration-s", 1, NULL, O_DURATION},
	{"warmup-s", 1, NULL, O_WARMUP},
	{"think-ms", 1, NULL, O_THINK},
	{"timeout-s", 1, NULL, O_TIMEOUT},
	{"cookies", 1, NULL, O_COOKIES},
	{"tokens", 1, NULL, O_TOKENS},
	{"token-bytes", 1, NULL, O_TOKEN_BYTES},
	{"text", 1, NULL, O_TEXT},
	{"leave-after", 1, NULL, O_LEAVE},
	{"leave-up-to", 1, NULL, O_LEAVE_UP_TO},
	{"stop-after-bytes", 1, NULL, O_STOP_AFTER},
	{"stop-s", 1, NULL, O_STOP},
	{"bytes-per-s", 1, NULL, O_BYTES_PER_S},
	{0},
};

static bool read_option(struct options *o, int option, const char *name, const char *value)
{
	size_t n = 0;

	switch (option) {
	case O_PORT:
		if (!read_number(name, value, 65535, &n))
			return false;
		o->port = (uint16_t)n;
		return true;
	case O_KIND:
		if (!strcmp(value, "openai"))
			o->plan.kind = CHECK_OPENAI;
		else if (strcmp(value, "llmchat") != 0)
			return complain(name, value);
		return true;
	case O_TEXT: o->plan.text = !strcmp(value, "en"); return o->plan.text || !strcmp(value, "any") || complain(name, value);
	case O_AGENT: o->agent = value; return true;
	case O_BODY: o->body = value; return true;
	case O_PATH: o->path = value; return true;
	case O_EXPECT: o->expected = value; return true;
	case O_HEADER: o->headers = value; return true;
	case O_BEARERS: return read_lines(&o->bearers, name, value);
	case O_PATHS: return read_lines(&o->paths, name, value);
	case O_N: return read_number(name, value, MAX_CLIENTS, &o->n);
	case O_RAMP: o->ramp_us = read_number(name, value, 3600000, &n) ? (uint64_t)n * MS : UINT64_MAX; return o->ramp_us != UINT64_MAX;
	case O_THINK: o->think_us = read_number(name, value, 3600000, &n) ? (uint64_t)n * MS : UINT64_MAX; return o->think_us != UINT64_MAX;
	case O_DURATION: return read_seconds(name, value, &o->duration_us);
	case O_WARMUP: return read_seconds(name, value, &o->warmup_us);
	case O_TIMEOUT: return read_seconds(name, value, &o->timeout_us);
	case O_STOP: return read_seconds(name, value, &o->stop_us);
	case O_COOKIES: return read_number(name, value, 1000000, &o->n_cookies);
	case O_TOKENS: return read_number(name, value, 10000000, &o->plan.n_tokens);
	case O_TOKEN_BYTES: return read_number(name, value, 1048576, &o->plan.token_bytes);
	case O_LEAVE: return read_number(name, value, 10000000, &o->leave_after);
	case O_LEAVE_UP_TO: return read_number(name, value, 10000000, &o->leave_up_to);
	case O_STOP_AFTER: return read_number(name, value, 1 << 30, &o->stop_after_bytes);
	case O_BYTES_PER_S: return read_number(name, value, 1 << 30, &o->bytes_per_s);
	default: return false; /* getopt_long has said why */
	}
}

/* What depends on other options. */
static void set_defaults(struct options *o)
{
	bool openai = o->plan.kind == CHECK_OPENAI;

	if (o->n_cookies == SIZE_MAX)
		o->n_cookies = o->mode == MODE_PLAIN ? o->n : 0; /* GETs are a logged-in user's, or nobody's */
	if (o->duration_us == UINT64_MAX)
		o->duration_us = o->mode == MODE_STREAMS ? 0 : 10 * SECOND;
	if (!o->path)
		o->path = openai ? "/v1/chat/completions" : "/api/chat/completions";
	if (!o->body && openai)
		o->body = o->mode == MODE_STREAMS ? "{\"model\":\"@a@\",\"stream\":true,\"stream_options\":{\"include_usage\":true},"
						    "\"messages\":[{\"role\":\"user\",\"content\":\"Question @i@\"}]}"
						  : "{\"model\":\"@a@\",\"messages\":[{\"role\":\"user\",\"content\":\"Question @i@\"}]}";
	else if (!o->body)
		o->body = o->mode == MODE_STREAMS
				  ? "{\"agentId\":\"@a@\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"Question @i@\"}]}"
				  : "{\"agentId\":\"@a@\",\"messages\":[{\"role\":\"user\",\"content\":\"Question @i@\"}]}";
	/* The kernel would read ahead for a slow reader, and nobody would notice that it is one. */
	if (o->stop_after_bytes || o->bytes_per_s)
		o->receive_buffer = SMALL_BUFFER;
}

bool options_read(struct options *o, int argc, char **argv)
{
	int option, which = 0;

	*o = (struct options){
		.plan = {.kind = CHECK_LLMCHAT, .text = true},
		.agent = "bench",
		.headers = NULL,
		.expected = "{",
		.n = 1,
		.n_cookies = SIZE_MAX,
		.duration_us = UINT64_MAX,
		.timeout_us = UINT64_C(60) * SECOND,
		.stop_us = UINT64_C(5) * SECOND,
	};
	if (argc < 2)
		return complain("MODE", "");
	if (!strcmp(argv[1], "plain"))
		o->mode = MODE_PLAIN;
	else if (!strcmp(argv[1], "get"))
		o->mode = MODE_GET;
	else if (!strcmp(argv[1], "wrong"))
		o->mode = MODE_WRONG;
	else if (strcmp(argv[1], "streams") != 0)
		return complain("MODE", argv[1]);
	argv[1] = argv[0]; /* what getopt's own complaints begin with */
	while ((option = getopt_long(argc - 1, argv + 1, "", names, &which)) != -1)
		if (!read_option(o, option, option == '?' ? "" : names[which].name, optarg ? optarg : ""))
			return false;
	if (optind < argc - 1)
		return complain("an argument", argv[optind + 1]);
	if (o->port == 0)
		return complain("--port", "0");
	if (o->n == 0)
		return complain("--n", "0");
	set_defaults(o);
	return true;
}
