/* SPDX-License-Identifier: Apache-2.0 */
/* The directory of images; see store.h. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/directory.h"
#include "image/store.h"

bool store_name_valid(const char *name)
{
	static const char alphanumeric[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	size_t len = strlen(name);

	if (!len || len > STORE_NAME_MAX || !strchr(alphanumeric, *name))
		return false;
	for (const char *p = name; *p; p++)
		if (!strchr(alphanumeric, *p) && !strchr("-_.", *p))
			return false;
	return true;
}

enum lodge_err store_name(const char *word, char name[STORE_NAME_MAX + 1], struct lodge_error *err)
{
	char *colon;

	if (strlen(word) > STORE_NAME_MAX)
		return error_set(err, LODGE_ERR_ARG, "'%s' is no name of an image: it is too long", word);
	strcpy(name, strcmp(word, "debian") ? word : "debian-bookworm");
	colon = strchr(name, ':');
	if (colon)
		*colon = '-';
	if (!store_name_valid(name))
		return error_set(err, LODGE_ERR_ARG, "'%s' is no name of an image: letters, digits, '-', '_' and '.' make one", word);
	return LODGE_OK;
}

enum lodge_err store_path(const char *name, const char *file, char path[STORE_PATH_MAX], struct lodge_error *err)
{
	const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
	bool given = data && *data == '/'; /* a relative one is to be ignored, says its specification */
	int n;

	if (!given && (!home || *home != '/'))
		return error_set(err, LODGE_ERR_ARG, "no place for images: set HOME or XDG_DATA_HOME to a directory");
	n = snprintf(path, STORE_PATH_MAX, "%s%s/lodge/images%s%s%s%s", given ? data : home, given ? "" : "/.local/share", name ? "/" : "", name ? name : "",
		     *file ? "/" : "", file);
	return n < STORE_PATH_MAX ? LODGE_OK : error_set(err, LODGE_ERR_ARG, "the path of the directory of images is too long");
}

/* One that is being made, or what a crash left, has no valid name; one without a manifest is no image of ours. */
static int is_image(const struct dirent *e)
{
	char path[STORE_PATH_MAX];
	struct host_file_info info;

	return store_name_valid(e->d_name) && store_path(e->d_name, "manifest.json", path, NULL) == LODGE_OK && host_file_info(path, &info);
}

enum lodge_err store_list(void (*each)(void *ctx, const char *name), void *ctx, struct lodge_error *err)
{
	char path[STORE_PATH_MAX];
	struct dirent **entries;
	enum lodge_err rc = store_path(NULL, "", path, err);
	int n;

	if (rc != LODGE_OK)
		return rc;
	n = scandir(path, &entries, is_image, alphasort);
	if (n < 0)
		return errno == ENOENT ? LODGE_OK : error_set_os(err, LODGE_ERR_IO, errno, "cannot read '%s'", path);
	for (int i = 0; i < n; i++) {
		each(ctx, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return LODGE_OK;
}

enum lodge_err store_remove(const char *name, struct lodge_error *err)
{
	char path[STORE_PATH_MAX], gone[STORE_PATH_MAX];
	struct host_file_info info;
	enum lodge_err rc = store_path(name, "manifest.json", path, err);

	if (rc == LODGE_OK && !host_file_info(path, &info))
		rc = error_set(err, LODGE_ERR_NOT_FOUND, "there is no image '%s'; `lodge images` lists them", name);
	if (rc == LODGE_OK)
		rc = store_path(name, "", path, err);
	if (rc == LODGE_OK)
		rc = store_path(NULL, ".removed", gone, err);
	if (rc == LODGE_OK)
		rc = host_tree_remove(gone, err);
	if (rc == LODGE_OK && rename(path, gone)) /* gone as a whole, even if what follows is interrupted */
		rc = error_set_os(err, LODGE_ERR_IO, errno, "cannot remove '%s'", path);
	return rc == LODGE_OK ? host_tree_remove(gone, err) : rc;
}
