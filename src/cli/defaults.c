/* SPDX-License-Identifier: Apache-2.0 */
/* Default guest files; see defaults.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/defaults.h"

#ifndef LODGE_DATA_DIR
#define LODGE_DATA_DIR "/usr/local/share/lodge"
#endif

static bool find_in(const char *dir, const char *sub, const char *name, char *path, size_t cap)
{
	int n = snprintf(path, cap, "%s%s/%s", dir, sub, name);

	return n > 0 && (size_t)n < cap && access(path, R_OK) == 0;
}

bool defaults_find(const char *name, char *path, size_t cap)
{
	const char *env = getenv("LODGE_GUEST_DIR");
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (env)
		return find_in(env, "", name, path, cap);
	if (n > 0) {
		self[n] = 0;
		slash = strrchr(self, '/');
		if (slash) {
			*slash = 0;
			if (find_in(self, "/guest", name, path, cap))
				return true;
		}
	}
	return find_in(LODGE_DATA_DIR, "/guest", name, path, cap);
}
