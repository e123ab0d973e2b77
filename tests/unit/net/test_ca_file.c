/* Files that are told to be certificate authorities. */
#include "net/ca_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "tests/unit/support.h"

static char dir[64], path[96], why[512];

static int make_world(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/ca-test-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/ca.pem", dir);
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
	assert_true(fputs(text, f) >= 0);
	fclose(f);
}

static void assert_refused(const char *file, const char *words)
{
	why[0] = '\0';
	assert_int_equal(ca_file_check("CA_FILE", file, why, sizeof(why)), -1);
	if (strncmp(why, "CA_FILE is ", 11) != 0 || !strstr(why, file) || !strstr(why, words) || why[strlen(why) - 1] != '.')
		fail_msg("\"%s\" does not name %s and %s", why, file, words);
}

static void takes_a_certificate_wherever_it_is_in_the_file(void **state)
{
	static const char *const texts[] = {
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
		"-----BEGIN TRUSTED CERTIFICATE-----\nMIIB\n",
		"# our own\nsubject=CN = ca\r\n\r\n-----BEGIN CERTIFICATE-----\r\nMIIB\r\n",
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
		write_file(texts[i]);
		assert_int_equal(ca_file_check("CA_FILE", path, why, sizeof(why)), 0);
	}
}

static void refuses_a_file_that_cannot_be_read(void **state)
{
	(void)state;
	assert_refused(path, "No such file");
	assert_refused(dir, "Is a directory");
}

static void refuses_a_file_without_a_certificate(void **state)
{
	static const char *const texts[] = {"", "hello\n", "-----BEGIN PRIVATE KEY-----\nMIIB\n", "see -----BEGIN CERTIFICATE-----\n"};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
		write_file(texts[i]);
		assert_refused(path, "PEM");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, make_world, end_world)
		T(takes_a_certificate_wherever_it_is_in_the_file),
		T(refuses_a_file_that_cannot_be_read),
		T(refuses_a_file_without_a_certificate),
#undef T
	};

	return cmocka_run_group_tests(tests, quiet, NULL);
}
