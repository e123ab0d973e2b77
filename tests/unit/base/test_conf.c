/* The configuration: every row at its bounds, the env file as people write it, misspelt names, and secrets that stay secret. */
#include "base/conf.h"

#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/support.h"

#define SECRET "0123456789abcdef0123456789abcdef"

enum kind { TEXT, INT, NUMBER, BOOL };

static const struct row {
	enum kind kind;
	const char *name, *otherwise;
	double min, max;
	bool secret;
} rows[] = {
#define X(kind, field, name, otherwise, min, max, flag, doc) {kind, name, otherwise, (double)(min), (double)(max), #flag[0] == 'S'},
	CONF_TABLE(X)
#undef X
};

static char dir[64], path[96], why[1024];

/* A clean environment with what is required. */
static int make_world(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		unsetenv(rows[i].name);
	setenv("TOKEN_SECRET", SECRET, 1);
	snprintf(dir, sizeof(dir), "/tmp/conf-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/env", dir);
	why[0] = '\0';
	return 0;
}

static int end_world(void **state)
{
	(void)state;
	unlink(path);
	rmdir(dir);
	return 0;
}

static void write_file(const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fchmod(fileno(f), 0640), 0);
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static void load(struct conf *conf, const char *file)
{
	if (conf_load(conf, file, why, sizeof(why)) != 0)
		fail_msg("%s", why);
}

/* Loads, which must fail with a sentence that holds all of the words. */
static void assert_refused(const char *file, const char *one, const char *two, const char *three)
{
	struct conf conf;

	why[0] = '\0';
	assert_int_equal(conf_load(&conf, file, why, sizeof(why)), -1);
	conf_fini(&conf);
	if (!strstr(why, one) || !strstr(why, two) || !strstr(why, three))
		fail_msg("\"%s\" does not say %s, %s and %s", why, one, two, three);
	assert_null(strstr(why, "0123456789abcdef")); /* never a secret */
	assert_int_equal(why[strlen(why) - 1] == '.' || strstr(why, "chmod") || strstr(why, "?"), 1);
}

static void has_defaults(void **state)
{
	struct conf conf;

	(void)state;
	load(&conf, NULL);
	assert_int_equal(conf.port, 3001);
	assert_string_equal(conf.environment, "production");
	assert_int_equal(conf.rate_limit_points, 1000);
	assert_int_equal(conf.request_timeout_ms, 30000);
	assert_string_equal(conf.db_host, "localhost");
	assert_int_equal(conf.db_max_connections, 50);
	assert_int_equal(conf.db_min_connections, 5);
	assert_true(conf.db_prepared);
	assert_string_equal(conf.redis_password, "");
	assert_true(conf.retry_factor == 2.0);
	assert_true(conf.retry_jitter);
	assert_false(conf.sentry_enabled);
	assert_string_equal(conf.log_level, "info");
	assert_true(conf.responders >= 2); /* 0 stands for one for each core */
	assert_true(conf.max_answer_bytes == 8388608);
	assert_string_equal(conf.token_secret_previous, "");
	assert_int_equal(conf.access_token_ttl_s, 3600);
	assert_int_equal(conf.refresh_token_ttl_s, 30 * 24 * 3600);
	assert_null(conf_lookup(&conf, "NO_SUCH_VARIABLE_ANYWHERE"));
	conf_fini(&conf);
	conf_fini(&conf);
}

static void number_text(const struct row *row, double d, char out[64])
{
	if (row->kind == INT)
		snprintf(out, 64, "%.0f", d);
	else
		snprintf(out, 64, "%.17g", d);
}

/* True if the value is taken, or refused only for how it goes together with others. */
static bool row_takes(const struct row *row, const char *value)
{
	struct conf conf;
	int result;

	why[0] = '\0';
	setenv(row->name, value, 1);
	result = conf_load(&conf, NULL, why, sizeof(why));
	conf_fini(&conf);
	if (strcmp(row->name, "TOKEN_SECRET") == 0)
		setenv("TOKEN_SECRET", SECRET, 1);
	else
		unsetenv(row->name);
	if (result == 0)
		return true;
	if (row->secret && strlen(value) > 20 && strstr(why, value))
		fail_msg("a secret is shown: %s", why);
	return !strstr(why, "it must be a whole number from") && !strstr(why, "it must be a number from") &&
	       !strstr(why, "it must be UTF-8 text") && !strstr(why, "it must be true or false");
}

static void assert_taken(const struct row *row, const char *value)
{
	if (!row_takes(row, value))
		fail_msg("%s=%.40s is refused: %s", row->name, value, why);
}

static void assert_not_taken(const struct row *row, const char *value)
{
	char least[64], most[64];

	if (row_takes(row, value))
		fail_msg("%s=%.40s is taken", row->name, value);
	assert_memory_equal(why, row->name, strlen(row->name));
	if (row->kind == BOOL)
		return;
	snprintf(least, sizeof(least), row->kind == NUMBER ? "%g" : "%.0f", row->min);
	snprintf(most, sizeof(most), row->kind == NUMBER ? "%g" : "%.0f", row->max);
	if (!strstr(why, least) || !strstr(why, most))
		fail_msg("the range is not in: %s", why);
}

static void every_number_is_bounded(void **state)
{
	/* clang-format off */
	static const char *const rubbish[] = {"", " ", "x", "1x", "0x10", "1,5", "--1", "nan", "inf", "99999999999999999999999", "1 2", "\xD9\xA1"};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		double step = row->kind == INT ? 1 : 0.001;
		char value[64];

		if (row->kind != INT && row->kind != NUMBER)
			continue;
		number_text(row, row->min, value);
		assert_taken(row, value);
		number_text(row, row->max, value);
		assert_taken(row, value);
		number_text(row, row->min - step, value);
		assert_not_taken(row, value);
		number_text(row, row->max + step, value);
		assert_not_taken(row, value);
		for (size_t k = 0; k < N_ELEMENTS(rubbish); k++)
			assert_not_taken(row, rubbish[k]);
		if (row->kind == INT)
			assert_not_taken(row, "5.5");
		assert_taken(row, row->otherwise);
	}
}

static void every_text_is_bounded(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		const struct row *row = &rows[i];
		char value[8192];

		if (row->kind != TEXT)
			continue;
		memset(value, 'x', sizeof(value));
		value[(size_t)row->max + 1] = '\0';
		assert_not_taken(row, value);
		value[(size_t)row->max] = '\0';
		assert_taken(row, value);
		value[(size_t)row->min] = '\0';
		assert_taken(row, value);
		if (row->min > 0) {
			value[(size_t)row->min - 1] = '\0';
			assert_not_taken(row, value);
		}
		assert_not_taken(row, "bytes \xFF\xFE that are not UTF-8");
		assert_taken(row, row->otherwise);
	}
}

static void every_switch_takes_the_usual_words(void **state)
{
	static const char *const good[] = {"true", "false", "on", "off", "yes", "no", "1", "0", "TRUE", "Off"};
	static const char *const bad[] = {"", "2", "maybe", "tru", "true ", "enabled", "-1"};
	struct conf conf;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
		if (rows[i].kind != BOOL)
			continue;
		for (size_t k = 0; k < N_ELEMENTS(good); k++)
			assert_taken(&rows[i], good[k]);
		for (size_t k = 0; k < N_ELEMENTS(bad); k++)
			assert_not_taken(&rows[i], bad[k]);
	}
	setenv("CHAT_ANONYMOUS", "YES", 1);
	setenv("DB_PREPARED", "off", 1);
	load(&conf, NULL);
	assert_true(conf.chat_anonymous);
	assert_false(conf.db_prepared);
	conf_fini(&conf);
}

/* Exactly as in the operator's guide, with two secrets of one's own. */
static const char guide[] =
	"# =================================\n"
	"# \xE2\x9A\xA1 \xE9\xAB\x98\xE5\xB9\xB6\xE5\x8F\x91\xE6\x80\xA7\xE8\x83\xBD\xE9\x85\x8D\xE7\xBD\xAE\xEF\xBC\x88"
	"1000\xE5\xB9\xB6\xE5\x8F\x91\xEF\xBC\x89\n"
	"# =================================\n"
	"\n"
	"# \xE6\x9C\x8D\xE5\x8A\xA1\xE5\x99\xA8\xE9\x85\x8D\xE7\xBD\xAE\n"
	"PORT=3001\n"
	"NODE_ENV=production\n"
	"FRONTEND_URL=https://yourdomain.com\n"
	"\n"
	"# \xE9\x80\x9F\xE7\x8E\x87\xE9\x99\x90\xE5\x88\xB6\xEF\xBC\x88\xE6\xAF\x8F\xE5\x88\x86\xE9\x92\x9F"
	"1000\xE8\xAF\xB7\xE6\xB1\x82\xEF\xBC\x89\n"
	"RATE_LIMIT_POINTS=1000\n"
	"RATE_LIMIT_DURATION=60\n"
	"RATE_LIMIT_BLOCK_DURATION=60\n"
	"RATE_LIMIT_MAX_REQUESTS=1000\n"
	"RATE_LIMIT_WINDOW_MS=60000\n"
	"\n"
	"# \xE8\xAF\xB7\xE6\xB1\x82\xE8\xB6\x85\xE6\x97\xB6\xEF\xBC\x88"
	"30\xE7\xA7\x92\xEF\xBC\x89\n"
	"REQUEST_TIMEOUT=30000\n"
	"\n"
	"# \xE6\x95\xB0\xE6\x8D\xAE\xE5\xBA\x93\xE8\xBF\x9E\xE6\x8E\xA5\xE6\xB1\xA0\xEF\xBC\x88PostgreSQL\xEF\xBC\x89\n"
	"DB_HOST=localhost\n"
	"DB_PORT=5432\n"
	"DB_USER=llmchat\n"
	"DB_PASSWORD=your_secure_password\n"
	"DB_NAME=llmchat\n"
	"# \xE8\xBF\x9E\xE6\x8E\xA5\xE6\xB1\xA0\xE5\xA4\xA7\xE5\xB0\x8F\xEF\xBC\x88\xE6\x94\xAF\xE6\x8C\x81"
	"1000\xE5\xB9\xB6\xE5\x8F\x91\xEF\xBC\x89\n"
	"DB_MAX_CONNECTIONS=50\n"
	"DB_MIN_CONNECTIONS=5\n"
	"DB_IDLE_TIMEOUT=30000\n"
	"DB_CONNECTION_TIMEOUT=10000\n"
	"\n"
	"# Redis\xE9\x85\x8D\xE7\xBD\xAE\xEF\xBC\x88\xE7\xBC\x93\xE5\xAD\x98 + "
	"\xE5\x88\x86\xE5\xB8\x83\xE5\xBC\x8F\xE9\x94\x81\xEF\xBC\x89\n"
	"REDIS_HOST=localhost\n"
	"REDIS_PORT=6379\n"
	"REDIS_PASSWORD=your_redis_password\n"
	"REDIS_DB=0\n"
	"REDIS_MAX_RETRIES=10\n"
	"\n"
	"# \xE7\x86\x94\xE6\x96\xAD\xE5\x99\xA8\xE9\x85\x8D\xE7\xBD\xAE\n"
	"CIRCUIT_BREAKER_FAILURE_THRESHOLD=5\n"
	"CIRCUIT_BREAKER_SUCCESS_THRESHOLD=3\n"
	"CIRCUIT_BREAKER_TIMEOUT=10000\n"
	"CIRCUIT_BREAKER_RESET_TIMEOUT=30000\n"
	"\n"
	"# \xE9\x87\x8D\xE8\xAF\x95\xE9\x85\x8D\xE7\xBD\xAE\n"
	"RETRY_MAX_RETRIES=3\n"
	"RETRY_BASE_DELAY=1000\n"
	"RETRY_MAX_DELAY=10000\n"
	"RETRY_BACKOFF_FACTOR=2\n"
	"RETRY_ENABLE_JITTER=true\n"
	"\n"
	"# \xE7\x9B\x91\xE6\x8E\xA7\xE9\x85\x8D\xE7\xBD\xAE\n"
	"SENTRY_ENABLED=true\n"
	"SENTRY_DSN=your_sentry_dsn\n"
	"SENTRY_TRACES_SAMPLE_RATE=0.1\n"
	"SENTRY_PROFILES_SAMPLE_RATE=0.1\n"
	"\n"
	"# \xE6\x97\xA5\xE5\xBF\x97\xE7\xBA\xA7\xE5\x88\xAB\n"
	"LOG_LEVEL=info\n"
	"TOKEN_SECRET=" SECRET "\n"
	"SECRETS_KEY=" SECRET "\n";

static void takes_the_guide_as_it_stands(void **state)
{
	struct conf conf;

	(void)state;
	unsetenv("TOKEN_SECRET");
	write_file(guide);
	load(&conf, path);
	assert_int_equal(conf.port, 3001);
	assert_string_equal(conf.environment, "production");
	assert_string_equal(conf.frontend_url, "https://yourdomain.com");
	assert_int_equal(conf.rate_limit_points, 1000);
	assert_int_equal(conf.rate_limit_duration_s, 60);
	assert_int_equal(conf.rate_limit_block_s, 60);
	assert_int_equal(conf.rate_limit_max_requests, 1000);
	assert_int_equal(conf.rate_limit_window_ms, 60000);
	assert_int_equal(conf.request_timeout_ms, 30000);
	assert_string_equal(conf.db_host, "localhost");
	assert_int_equal(conf.db_port, 5432);
	assert_string_equal(conf.db_user, "llmchat");
	assert_string_equal(conf.db_password, "your_secure_password");
	assert_string_equal(conf.db_name, "llmchat");
	assert_int_equal(conf.db_max_connections, 50);
	assert_int_equal(conf.db_min_connections, 5);
	assert_int_equal(conf.db_idle_timeout_ms, 30000);
	assert_int_equal(conf.db_connection_timeout_ms, 10000);
	assert_string_equal(conf.redis_host, "localhost");
	assert_int_equal(conf.redis_port, 6379);
	assert_string_equal(conf.redis_password, "your_redis_password");
	assert_int_equal(conf.redis_db, 0);
	assert_int_equal(conf.redis_max_retries, 10);
	assert_int_equal(conf.breaker_failures, 5);
	assert_int_equal(conf.breaker_successes, 3);
	assert_int_equal(conf.breaker_timeout_ms, 10000);
	assert_int_equal(conf.breaker_reset_ms, 30000);
	assert_int_equal(conf.retry_max, 3);
	assert_int_equal(conf.retry_base_ms, 1000);
	assert_int_equal(conf.retry_max_ms, 10000);
	assert_true(conf.retry_factor == 2.0);
	assert_true(conf.retry_jitter);
	assert_true(conf.sentry_enabled);
	assert_string_equal(conf.sentry_dsn, "your_sentry_dsn");
	assert_true(conf.sentry_traces_rate == 0.1);
	assert_true(conf.sentry_profiles_rate == 0.1);
	assert_string_equal(conf.log_level, "info");
	assert_string_equal(conf.token_secret, SECRET);
	assert_string_equal(conf.secrets_key, SECRET);
	conf_fini(&conf);
}

static void the_environment_wins_over_the_file_and_the_last_line_over_the_first(void **state)
{
	struct conf conf;

	(void)state;
	write_file("PORT=4000\nREDIS_PORT=7000\nREDIS_PORT=7001");
	setenv("PORT", "5000", 1);
	load(&conf, path);
	assert_int_equal(conf.port, 5000);
	assert_int_equal(conf.redis_port, 7001);
	assert_string_equal(conf_lookup(&conf, "PORT"), "5000");
	assert_string_equal(conf_lookup(&conf, "REDIS_PORT"), "7001");
	conf_fini(&conf);
}

static void parses_lines_as_people_write_them(void **state)
{
	static const struct {
		const char *line, *name, *value; /* name NULL: a blank line or comment */
	} samples[] = {
		{"", NULL, NULL},
		{"   \t", NULL, NULL},
		{"# PORT=1", NULL, NULL},
		{"   # PORT=1", NULL, NULL},
		{"\r\n", NULL, NULL},
		{"A=b", "A", "b"},
		{"A=", "A", ""},
		{"  A = b  ", "A", "b"},
		{"A=b\r\n", "A", "b"},
		{"export A=b", "A", "b"},
		{"export   A=b", "A", "b"},
		{"exported=b", "exported", "b"},
		{"A=b # comment", "A", "b"},
		{"A=b#c", "A", "b#c"},
		{"A=#c", "A", ""},
		{"A= # c", "A", ""},
		{"A=b c d", "A", "b c d"},
		{"A=\"b # c\"", "A", "b # c"},
		{"A='b \"c\" d'", "A", "b \"c\" d"},
		{"A=\"it's\"", "A", "it's"},
		{"A=\"\"", "A", ""},
		{"A='b' # c", "A", "b"},
		{"A=b=c=d", "A", "b=c=d"},
		{"A=it's", "A", "it's"},
		{"A=\xE4\xB8\xAD", "A", "\xE4\xB8\xAD"},
		{"lower_9=x", "lower_9", "x"},
		{"A=postgres://u:p@h/db?x=y#z", "A", "postgres://u:p@h/db?x=y#z"},
	};
	/* clang-format off */
	static const char *const bad[] = {"A", "=b", "A b=c", "A-B=c", "A\"=b", "A=\"b", "A='b", "A='b\"", "export", "export =b", "[section]", "A: b"};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		char *line = strdup(samples[i].line), *name = NULL, *value = NULL;
		int result = conf_parse_line(line, &name, &value);

		if (result != (samples[i].name ? 1 : 0))
			fail_msg("%d for %s", result, samples[i].line);
		if (samples[i].name) {
			assert_string_equal(name, samples[i].name);
			assert_string_equal(value, samples[i].value);
		}
		free(line);
	}
	for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
		char *line = strdup(bad[i]), *name, *value;

		if (conf_parse_line(line, &name, &value) != -1)
			fail_msg("taken: %s", bad[i]);
		free(line);
	}
}

static void refuses_lines_it_does_not_understand_without_showing_them(void **state)
{
	char *long_line = calloc(1, 20000);

	(void)state;
	write_file("PORT=1\n\nSECRETS_KEY " SECRET "\n");
	assert_refused(path, path, "line 3", "NAME=value");
	write_file("SECRETS_KEY=\"" SECRET "\n");
	assert_refused(path, path, "line 1", "NAME=value");
	memset(long_line, 'x', 10000);
	memcpy(long_line, "NODE_ENV=", 9);
	write_file(long_line);
	assert_refused(path, path, "line 1", "");
	free(long_line);
	assert_refused("/nonexistent/env", "/nonexistent/env", "cannot be read", "");
	assert_refused(dir, dir, "cannot be read", "");
}

static void refuses_names_that_are_nearly_right(void **state)
{
	static const struct {
		const char *wrong, *right;
	} samples[] = {
		{"DB_MAX_CONNECTION", "DB_MAX_CONNECTIONS"},
		{"DB_MIN_CONECTIONS", "DB_MIN_CONNECTIONS"},
		{"DB_MIM_CONNECTIONS", "DB_MIN_CONNECTIONS"},
		{"DB_MAXX_CONNECTIONS", "DB_MAX_CONNECTIONS"},
		{"TOKEN_SECRETS", "TOKEN_SECRET"},
		{"SECRET_KEY", "SECRETS_KEY"},
		{"LOG_LEVL", "LOG_LEVEL"},
		{"LOGLEVEL", "LOG_LEVEL"},
		{"REDIS_PASWORD", "REDIS_PASSWORD"},
		{"RETRY_MAX_RETRES", "RETRY_MAX_RETRIES"},
		{"RATE_LIMIT_POINT", "RATE_LIMIT_POINTS"},
		{"CIRCUIT_BREAKER_TIMOUT", "CIRCUIT_BREAKER_TIMEOUT"},
		{"CIRCUIT_BREAKER_FAILURES_THRESHOLD", "CIRCUIT_BREAKER_FAILURE_THRESHOLD"},
		{"STREAM_IDLE_TIMEOUTS", "STREAM_IDLE_TIMEOUT"},
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		char text[128], quoted[64];

		snprintf(text, sizeof(text), "PORT=1\n%s=1\n", samples[i].wrong);
		snprintf(quoted, sizeof(quoted), "did you mean %s?", samples[i].right);
		write_file(text);
		assert_refused(path, samples[i].wrong, quoted, "line 2");
	}
}

static void keeps_names_that_are_not_its_own(void **state)
{
	/* clang-format off */
	static const char *const names[] = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DIFY_API_KEY", "FASTGPT_KEY", "HOME_SWEET_HOME", "A", "API_KEY",
					    "DATABASE_URL", "REDIS_URL", "SENTRY_ENVIRONMENT", "NODE_OPTIONS", "lower_case", "MODEL_ENDPOINT_2", "POST", "PORTS"};
	/* clang-format on */
	struct conf conf;
	char text[4096] = "";

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		unsetenv(names[i]);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s='value %zu'\n", names[i], i);
	}
	write_file(text);
	load(&conf, path);
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		char value[32];

		snprintf(value, sizeof(value), "value %zu", i);
		assert_string_equal(conf_lookup(&conf, names[i]), value);
	}
	setenv("OPENAI_API_KEY", "from the environment", 1);
	assert_string_equal(conf_lookup(&conf, "OPENAI_API_KEY"), "from the environment");
	unsetenv("OPENAI_API_KEY");
	conf_fini(&conf);
}

static void refuses_a_file_that_others_may_read(void **state)
{
	static const mode_t good[] = {0600, 0640, 0660, 0400}, bad[] = {0644, 0604, 0602, 0666, 0777};
	struct conf conf;

	(void)state;
	write_file("PORT=1\n");
	for (size_t i = 0; i < N_ELEMENTS(good); i++) {
		assert_int_equal(chmod(path, good[i]), 0);
		load(&conf, path);
		conf_fini(&conf);
	}
	for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
		assert_int_equal(chmod(path, bad[i]), 0);
		assert_refused(path, path, "chmod", "640");
	}
}

static void wants_long_secrets(void **state)
{
	struct conf conf;

	(void)state;
	unsetenv("TOKEN_SECRET");
	assert_refused(NULL, "TOKEN_SECRET", "required", "32");
	setenv("TOKEN_SECRET", "0123456789abcdef0123456789abcde", 1);
	assert_refused(NULL, "TOKEN_SECRET", "required", "32");
	setenv("TOKEN_SECRET", SECRET, 1);
	setenv("SECRETS_KEY", "0123456789abcdef0123456789abcde", 1);
	assert_refused(NULL, "SECRETS_KEY", "32", "");
	setenv("SECRETS_KEY", "", 1);
	setenv("SECRETS_KEY_PREVIOUS", "0123456789abcdef0123456789abcde", 1);
	assert_refused(NULL, "SECRETS_KEY_PREVIOUS", "empty", "32");
	setenv("SECRETS_KEY_PREVIOUS", "", 1);
	setenv("TOKEN_SECRET_PREVIOUS", "0123456789abcdef0123456789abcde", 1);
	assert_refused(NULL, "TOKEN_SECRET_PREVIOUS", "empty", "32");
	setenv("TOKEN_SECRET_PREVIOUS", "0123456789abcdef0123456789abcdeX", 1);
	load(&conf, NULL);
	assert_string_equal(conf.token_secret_previous, "0123456789abcdef0123456789abcdeX");
	conf_fini(&conf);
	setenv("TOKEN_SECRET_PREVIOUS", "", 1);
	load(&conf, NULL);
	conf_fini(&conf);
}

static void wants_name_and_password_of_the_first_admin(void **state)
{
	struct conf conf;

	(void)state;
	setenv("ADMIN_USERNAME", "root", 1);
	assert_refused(NULL, "ADMIN_PASSWORD", "missing", "go together");
	setenv("ADMIN_PASSWORD", "short", 1);
	assert_refused(NULL, "ADMIN_PASSWORD", "8 characters", "");
	setenv("ADMIN_PASSWORD", "long enough", 1);
	load(&conf, NULL);
	conf_fini(&conf);
	setenv("ADMIN_USERNAME", " root", 1);
	assert_refused(NULL, "ADMIN_USERNAME", "blank", "");
	unsetenv("ADMIN_USERNAME");
	assert_refused(NULL, "ADMIN_USERNAME", "missing", "go together");
	unsetenv("ADMIN_PASSWORD");
}

static void checks_what_belongs_together(void **state)
{
	(void)state;
	setenv("DB_MIN_CONNECTIONS", "51", 1);
	assert_refused(NULL, "DB_MIN_CONNECTIONS", "51", "50");
	unsetenv("DB_MIN_CONNECTIONS");
	setenv("RESPONDERS", "9", 1);
	setenv("DB_MAX_CONNECTIONS", "10", 1);
	assert_refused(NULL, "DB_MAX_CONNECTIONS", "10", "9 responders");
	unsetenv("RESPONDERS");
	unsetenv("DB_MAX_CONNECTIONS");
	setenv("RETRY_MAX_DELAY", "999", 1);
	assert_refused(NULL, "RETRY_MAX_DELAY", "999", "1000");
	unsetenv("RETRY_MAX_DELAY");
	setenv("REFRESH_TOKEN_TTL", "3599", 1);
	assert_refused(NULL, "REFRESH_TOKEN_TTL", "3599", "ACCESS_TOKEN_TTL, which is 3600");
	unsetenv("REFRESH_TOKEN_TTL");
	setenv("LOG_LEVEL", "loud", 1);
	assert_refused(NULL, "LOG_LEVEL", "loud", "debug, info, warn or error");
	unsetenv("LOG_LEVEL");
	setenv("DB_SSLMODE", "never", 1);
	assert_refused(NULL, "DB_SSLMODE", "never", "verify-full");
}

static char *printed(const struct conf *conf)
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (conf)
		conf_print(conf, f);
	else
		conf_print_help(f);
	fclose(f);
	return text;
}

static void prints_everything_but_secrets(void **state)
{
	struct conf conf;
	char *text;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (rows[i].secret)
			setenv(rows[i].name, SECRET "-shown-nowhere", 1);
	setenv("ADMIN_USERNAME", "root", 1); /* goes with the password */
	setenv("NODE_ENV", "staging", 1);
	load(&conf, NULL);
	text = printed(&conf);
	assert_null(strstr(text, "shown-nowhere"));
	assert_non_null(strstr(text, "NODE_ENV=staging\n"));
	assert_non_null(strstr(text, "PORT=3001\n"));
	assert_non_null(strstr(text, "TOKEN_SECRET=(set)\n"));
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		assert_non_null(strstr(text, rows[i].name));
	free(text);
	conf_fini(&conf);
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		if (rows[i].secret && strcmp(rows[i].name, "TOKEN_SECRET") != 0)
			unsetenv(rows[i].name);
	unsetenv("ADMIN_USERNAME");
	load(&conf, NULL);
	text = printed(&conf);
	assert_non_null(strstr(text, "DB_PASSWORD=(not set)\n"));
	free(text);
	conf_fini(&conf);
}

static void helps_with_every_name(void **state)
{
	char *text = printed(NULL);

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(rows); i++)
		assert_non_null(strstr(text, rows[i].name));
	assert_non_null(strstr(text, "4 to 1000"));
	free(text);
}

static void shares_a_budget_without_loss(void **state)
{
	(void)state;
	for (int64_t budget = 0; budget < 120; budget++) {
		for (int64_t n = 1; n <= 64; n++) {
			int64_t sum = 0, last = INT64_MAX;

			for (int64_t slot = 1; slot <= n; slot++) {
				int64_t share = conf_share(budget, n, slot);

				assert_true(share >= 1);
				assert_true(share <= last); /* the remainder goes to low slots */
				assert_true(share - conf_share(budget, n, n) <= 1);
				last = share;
				sum += share;
			}
			assert_int_equal(sum, budget >= n ? budget : n);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(has_defaults),
		T(every_number_is_bounded),
		T(every_text_is_bounded),
		T(every_switch_takes_the_usual_words),
		T(takes_the_guide_as_it_stands),
		T(the_environment_wins_over_the_file_and_the_last_line_over_the_first),
		T(parses_lines_as_people_write_them),
		T(refuses_lines_it_does_not_understand_without_showing_them),
		T(refuses_names_that_are_nearly_right),
		T(keeps_names_that_are_not_its_own),
		T(refuses_a_file_that_others_may_read),
		T(wants_long_secrets),
		T(wants_name_and_password_of_the_first_admin),
		T(checks_what_belongs_together),
		T(prints_everything_but_secrets),
		T(helps_with_every_name),
		T(shares_a_budget_without_loss),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
