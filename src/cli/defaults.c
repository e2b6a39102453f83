/* SPDX-License-Identifier: Apache-2.0 */
/* Default guest files; see defaults.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/defaults.h"

static char *find_in(const char *dir, const char *sub, const char *name)
{
	char *path;

	if (asprintf(&path, "%s%s/%s", dir, sub, name) < 0)
		return NULL;
	if (access(path, R_OK) == 0)
		return path;
	free(path);
	return NULL;
}

/* The directory that the program is in, or "". */
static void own_directory(char *dir, size_t cap)
{
	ssize_t n = readlink("/proc/self/exe", dir, cap - 1);
	char *slash;

	dir[MAX(n, 0)] = 0;
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
}

char *defaults_find(const char *name)
{
	const char *env = getenv("LODGE_GUEST_DIR");
	char dir[4096], *path;

	if (env)
		return find_in(env, "", name);
	own_directory(dir, sizeof(dir));
	path = find_in(dir, "/guest", name);
	return path ? path : find_in(LODGE_DATA_DIR, "/guest", name);
}
