/* SPDX-License-Identifier: Apache-2.0 */
/* The disks of VMs that run images; see instance.h. */
#include "image/instance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/qcow2.h"
#include "host/block_file.h"
#include "host/directory.h"

static enum lodge_err state_path(const char *name, const char *file, char path[STORE_PATH_MAX], struct lodge_error *err)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	bool given = state && *state == '/';
	int n;

	if (!given && (!home || *home != '/'))
		return error_set(err, LODGE_ERR_ARG, "no place for a machine's disk: set HOME or XDG_STATE_HOME to a directory");
	n = snprintf(path, STORE_PATH_MAX, "%s%s/lodge/vms%s%s%s%s", given ? state : home, given ? "" : "/.local/state", *name ? "/" : "", name,
		     *file ? "/" : "", file);
	return n < STORE_PATH_MAX ? LODGE_OK : error_set(err, LODGE_ERR_ARG, "the path of the directory of machines is too long");
}

static enum lodge_err name_files(struct instance *i, const char *name, struct lodge_error *err)
{
	enum lodge_err rc = state_path(name, "", i->dir, err);

	if (rc == LODGE_OK)
		rc = state_path(name, "disk.qcow2", i->disk, err);
	return rc == LODGE_OK ? state_path(name, "base.raw", i->base, err) : rc;
}

static enum lodge_err make_overlay(const struct instance *i, uint64_t bytes, struct lodge_error *err)
{
	struct block_file file;
	int fd = open(i->disk, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	enum lodge_err rc;

	if (fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot create '%s'", i->disk);
	close(fd);
	rc = host_block_file_open(i->disk, false, &file, err);
	if (rc != LODGE_OK)
		return rc;
	rc = qcow2_create(&file, bytes, "base.raw", err);
	block_file_close(&file);
	return rc;
}

/* In a directory of a name that no machine has. */
static enum lodge_err make(const struct instance *i, const char *image, struct lodge_error *err)
{
	char from[STORE_PATH_MAX];
	struct host_file_info info;
	enum lodge_err rc = store_path(image, "disk.raw", from, err);

	if (rc == LODGE_OK && !host_file_info(from, &info))
		rc = error_set(err, LODGE_ERR_NOT_FOUND, "there is no image '%s'; `lodge images` lists them, `lodge pull` makes one; a kernel is "
			       "given with --kernel", image);
	if (rc == LODGE_OK)
		rc = host_directory_make(i->dir, err);
	if (rc == LODGE_OK && link(from, i->base))
		rc = errno == EXDEV ? error_set(err, LODGE_ERR_UNSUPPORTED, "images and machines must be in one file system: let XDG_DATA_HOME and "
							    "XDG_STATE_HOME be so")
				    : error_set_os(err, LODGE_ERR_IO, errno, "cannot link '%s' to '%s'", i->base, from);
	return rc == LODGE_OK ? make_overlay(i, info.bytes, err) : rc;
}

enum lodge_err instance_open(struct instance *i, const char *image, const char *vm, bool temporary, struct lodge_error *err)
{
	struct instance fresh = { 0 };
	struct host_file_info info;
	char hidden[STORE_NAME_MAX + 32];
	enum lodge_err rc;

	*i = (struct instance){ 0 };
	if (!store_name_valid(vm))
		return error_set(err, LODGE_ERR_ARG, "'%s' is no name for a machine that keeps its disk: letters, digits, '-', '_' and '.' make one", vm);
	snprintf(hidden, sizeof(hidden), ".%s-%ld", vm, (long)getpid());
	rc = name_files(i, vm, err);
	if (rc != LODGE_OK || (!temporary && host_file_info(i->disk, &info)))
		return rc;
	rc = name_files(&fresh, hidden, err);
	if (rc == LODGE_OK)
		rc = host_tree_remove(fresh.dir, err); /* of a process that had this number and died */
	if (rc != LODGE_OK)
		return rc;
	rc = make(&fresh, image, err);
	if (rc == LODGE_OK && !temporary && rename(fresh.dir, i->dir))
		rc = error_set_os(err, LODGE_ERR_IO, errno, "cannot rename '%s' to '%s'", fresh.dir, i->dir);
	if (rc != LODGE_OK) {
		(void)!host_tree_remove(fresh.dir, NULL);
		return rc;
	}
	if (temporary) {
		*i = fresh;
		i->temporary = true;
	}
	return LODGE_OK;
}

void instance_close(struct instance *i)
{
	if (i->temporary)
		(void)!host_tree_remove(i->dir, NULL);
	*i = (struct instance){ 0 };
}
