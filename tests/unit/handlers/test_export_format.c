/* Cells, rows and names of exported files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "db/messages.h"
#include "db/sessions.h"
#include "handlers/export_format.h"

static void expect(struct buf *out, const char *expected)
{
	buf_add_char(out, '\0');
	assert_string_equal(out->p, expected);
	buf_fini(out);
}

static void cells_are_quoted_and_never_formulas(void **state)
{
	static const char *const samples[][2] = {
		{"", "\"\""},
		{"plain", "\"plain\""},
		{"a,b", "\"a,b\""},
		{"a\r\nb", "\"a\r\nb\""},
		{"\"", "\"\"\"\""},
		{"say \"hi\"", "\"say \"\"hi\"\"\""},
		{"\"\"\"", "\"\"\"\"\"\"\"\""},
		{"=1+1", "\"'=1+1\""},
		{"+1", "\"'+1\""},
		{"-1", "\"'-1\""},
		{"@x", "\"'@x\""},
		{"\tx", "\"'\tx\""},
		{"\rx", "\"'\rx\""},
		{"\nx", "\"'\nx\""},
		{"＝1", "\"'＝1\""},
		{"＋1", "\"'＋1\""},
		{"－1", "\"'－1\""},
		{"＠x", "\"'＠x\""},
		{"=", "\"'=\""},
		{"=\"x\"", "\"'=\"\"x\"\"\""},
		{" =1", "\" =1\""},
		{"1=1", "\"1=1\""},
		{"终", "\"终\""},
		{"'=1", "\"'=1\""},
	};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		export_csv_cell(&out, str_from(samples[i][0]));
		expect(&out, samples[i][1]);
	}
}

static void a_row_of_csv_has_as_many_cells_as_its_head(void **state)
{
	struct message_row m = {
		.id = STR("1"), .role = STR("user"), .content = STR("=x"), .status = STR("complete"), .created_at = STR("now")};
	struct session_row session = {.id = STR("s")};
	struct buf out = {0};

	(void)state;
	export_begin(&out, EXPORT_CSV, &session, "now");
	expect(&out, "\xEF\xBB\xBFid,parentId,createdAt,role,content,status,agentId,model,rating,comment,promptTokens,completionTokens,"
		     "totalTokens\r\n");
	export_message(&out, EXPORT_CSV, &m, true);
	expect(&out, "\"1\",\"\",\"now\",\"user\",\"'=x\",\"complete\",\"\",\"\",\"\",\"\",,,\r\n");
	m.has_usage = true;
	m.total_tokens = 7;
	export_message(&out, EXPORT_CSV, &m, false);
	expect(&out, "\"1\",\"\",\"now\",\"user\",\"'=x\",\"complete\",\"\",\"\",\"\",\"\",0,0,7\r\n");
	export_end(&out, EXPORT_CSV);
	expect(&out, "");
}

static void json_has_commas_between_messages_only(void **state)
{
	struct message_row m = {
		.id = STR("1"), .role = STR("user"), .content = STR("x"), .status = STR("complete"), .created_at = STR("now")};
	struct session_row session = {.id = STR("s")};
	struct buf out = {0};
	struct json *j;
	const char *why;

	(void)state;
	export_begin(&out, EXPORT_JSON, &session, "now");
	for (int i = 0; i < 3; i++)
		export_message(&out, EXPORT_JSON, &m, i == 0);
	export_end(&out, EXPORT_JSON);
	assert_int_equal(json_parse(buf_str(&out), &JSON_CAPS_USER, &j, &why), 0);
	assert_int_equal(json_len(json_get(j, "messages")), 3);
	json_free(j);
	buf_fini(&out);
}

#define HEAD "Content-Disposition: attachment; filename=\"llmchat-01a208b4.csv\""

static void names_of_files_hold_nothing_but_letters(void **state)
{
	static const char *const samples[][2] = {
		{"", HEAD "\r\n"},
		{"...", HEAD "\r\n"},
		{"a b", HEAD "; filename*=UTF-8''a%20b.csv\r\n"},
		{"../x\\y:z*?\"<>|", HEAD "; filename*=UTF-8''xyz.csv\r\n"},
		{"\x7fx\xC2\x85", HEAD "; filename*=UTF-8''x.csv\r\n"},
		{"\xE2\x80\xAEx\xE2\x81\xA9", HEAD "; filename*=UTF-8''x.csv\r\n"},
		{"é终🚀", HEAD "; filename*=UTF-8''%C3%A9%E7%BB%88%F0%9F%9A%80.csv\r\n"},
	};
	struct buf out = {0};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(samples); i++) {
		export_disposition(&out, EXPORT_CSV, str_from(samples[i][0]), STR("01a208b4-b509-7003-a866-60ebd3c4616d"));
		expect(&out, samples[i][1]);
	}
}

static void knows_its_formats(void **state)
{
	enum export_format format;

	(void)state;
	assert_true(export_format_named(STR("markdown"), &format) && format == EXPORT_MARKDOWN);
	assert_false(export_format_named(STR("md"), &format));
	assert_false(export_format_named(STR(""), &format));
	assert_string_equal(export_media_type(EXPORT_CSV), "text/csv; charset=utf-8");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cells_are_quoted_and_never_formulas),
		cmocka_unit_test(a_row_of_csv_has_as_many_cells_as_its_head),
		cmocka_unit_test(json_has_commas_between_messages_only),
		cmocka_unit_test(names_of_files_hold_nothing_but_letters),
		cmocka_unit_test(knows_its_formats),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
