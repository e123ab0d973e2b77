/* Whether a file looks like certificate authorities. What is inside of them is libcurl's matter. */
#include "net/ca_file.h"

#include <errno.h>
#include <stdio.h>

static bool begins_certificate(const char *line)
{
	return str_starts(str_from(line), STR("-----BEGIN CERTIFICATE-----")) ||
	       str_starts(str_from(line), STR("-----BEGIN TRUSTED CERTIFICATE-----"));
}

int ca_file_check(const char *name, const char *path, char *why, size_t why_size)
{
	FILE *f = fopen(path, "re");
	bool found = false;
	char line[256];
	int result = -1;

	while (f && !found && fgets(line, sizeof(line), f))
		found = begins_certificate(line);
	if (!f || ferror(f)) /* a directory can be opened */
		snprintf(why, why_size, "%s is %s: it cannot be read: %s.", name, path, strerror(errno));
	else if (!found)
		snprintf(why, why_size, "%s is %s: it must hold certificates in PEM form, and there is none.", name, path);
	else
		result = 0;
	if (f)
		fclose(f);
	return result;
}
