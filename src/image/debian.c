/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `lodge pull debian`: mmdebstrap fills a tree, mke2fs makes a disk of it, the
 * whole is renamed into place. Both run in a mount namespace of their own, so
 * that nothing stays mounted however they end, and for users other than root in
 * a user namespace in which they are root.
 */
#include "image/debian.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "host/child.h"
#include "host/directory.h"
#include "host/helper.h"
#include "image/apt.h"
#include "image/store.h"

#define SETUP_PROGRAM "lodge-debian-setup"
#define PACKAGES                                                                                                                                       \
	"systemd,systemd-sysv,systemd-resolved,libpam-systemd,dbus,udev,linux-image-cloud-amd64,initramfs-tools,kmod,openssh-server,ca-certificates,"  \
	"iproute2,iputils-ping,procps,less,nano,login"
#define ARGS_MAX 32
#define TICK_MS 1000
#define LIST_BYTES (256 * 1024)

struct work {
	const struct debian_pull *p;
	char dir[STORE_PATH_MAX], tree[STORE_PATH_MAX], disk[STORE_PATH_MAX], log[STORE_PATH_MAX], sources[STORE_PATH_MAX], setup[STORE_PATH_MAX],
		manifest[STORE_PATH_MAX];
	char name[STORE_NAME_MAX + 1];
	const char *prefix[6]; /* of the commands that have to be root */
};

bool debian_release(const char *release)
{
	return !strcmp(release, "bookworm") || !strcmp(release, "trixie");
}

/* ---- what the host must have ---- */

static enum lodge_err check_programs(struct lodge_error *err)
{
	static const struct {
		const char *program, *package;
	} needed[] = { { "mmdebstrap", "mmdebstrap" }, { "mke2fs", "e2fsprogs" }, { "unshare", "util-linux" }, { "dpkg-query", "dpkg" } };

	for (unsigned i = 0; i < ARRAY_LEN(needed); i++)
		if (!host_program_present(needed[i].program))
			return error_set(err, LODGE_ERR_UNSUPPORTED, "making an image needs the program %s: install the package %s", needed[i].program,
					 needed[i].package);
	return LODGE_OK;
}

static enum lodge_err choose_prefix(struct work *w, struct lodge_error *err)
{
	static const char *const root[] = { "unshare", "--mount", "--", NULL };
	static const char *const user[] = { "unshare", "--map-root-user", "--map-auto", "--mount", "--", NULL };
	static const char *const attempt[] = { "unshare", "--map-root-user", "--map-auto", "--mount", "--", "true", NULL };
	const char *const *chosen = geteuid() ? user : root;
	char nothing[2];

	for (unsigned i = 0; chosen[i]; i++)
		w->prefix[i] = chosen[i];
	if (chosen == root)
		return LODGE_OK;
	if (!host_program_present("newuidmap"))
		return error_set(err, LODGE_ERR_UNSUPPORTED, "making an image without being root needs newuidmap: install the package uidmap");
	if (host_child_capture(attempt, nothing, sizeof(nothing), err) != LODGE_OK)
		return error_set(err, LODGE_ERR_UNSUPPORTED,
				 "this host lets its users have no user namespaces with ids of their own: /etc/subuid and /etc/subgid need a line for you "
				 "(`usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME`), and the sysctl user.max_user_namespaces must not "
				 "be 0 (kernel.unprivileged_userns_clone not either, where it exists)");
	return LODGE_OK;
}

/* ---- running a program ---- */

/* The last line of @path that says what is being done, as mmdebstrap marks them ("I: ..."). */
static void last_step(const char *path, char *step, size_t cap)
{
	char tail[4096], *at;
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return;
	if (fseek(f, -(long)sizeof(tail) + 1, SEEK_END))
		rewind(f);
	n = fread(tail, 1, sizeof(tail) - 1, f);
	fclose(f);
	tail[n] = 0;
	for (at = tail; (at = strstr(at, "I: ")); at += 3)
		if ((at == tail || at[-1] == '\n') && strchr(at, '\n'))
			snprintf(step, cap, "%.*s", (int)strcspn(at + 3, "\n"), at + 3);
}

/* The first thing that went wrong; what follows are its consequences. */
static void first_complaint(const char *path, char *text, size_t cap)
{
	char line[512];
	FILE *f = fopen(path, "re");

	*text = 0;
	while (f && !*text && fgets(line, sizeof(line), f))
		if (!strncmp(line, "E: ", 3) || !strncmp(line, "W: Failed", 9) || !strncmp(line, "mke2fs:", 7) || !strncmp(line, "unshare:", 8))
			snprintf(text, cap, "%.*s", (int)strcspn(line, "\r\n"), line);
	if (f)
		fclose(f);
	for (; *text; text++)
		if (*text < ' ' || *text > '~') /* words of the network: they shall not steer the terminal */
			*text = '?';
}

static enum lodge_err run_program(const struct work *w, const char *const *args, const char *step, const char *grows, struct lodge_error *err)
{
	const char *all[ARGS_MAX + ARRAY_LEN(w->prefix)];
	char now[160], complaint[256];
	enum host_child_state state;
	struct host_child child;
	enum lodge_err rc;
	unsigned n = 0;
	int out = open(w->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

	if (out < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot write '%s'", w->log);
	for (unsigned i = 0; w->prefix[i]; i++)
		all[n++] = w->prefix[i];
	for (unsigned i = 0; args[i]; i++)
		all[n++] = args[i];
	all[n] = NULL;
	snprintf(now, sizeof(now), "%s", step);
	rc = host_child_start(&child, all, out, err);
	close(out);
	if (rc != LODGE_OK)
		return rc;
	while ((state = host_child_wait(&child, w->p->interrupt_fd, TICK_MS)) == HOST_CHILD_RUNS) {
		last_step(w->log, now, sizeof(now));
		w->p->progress(w->p->ctx, now, host_tree_bytes(grows));
	}
	if (state == HOST_CHILD_INTERRUPTED) {
		host_child_stop(&child);
		return error_set(err, LODGE_ERR_BUSY, "interrupted; nothing was changed");
	}
	rc = host_child_finish(&child, args[0], err);
	first_complaint(w->log, complaint, sizeof(complaint));
	if (rc == LODGE_OK || !*complaint)
		return rc;
	return error_set(err, rc, "%s failed: %s", args[0], complaint);
}

/* ---- the steps ---- */

static enum lodge_err write_sources(const struct work *w, struct lodge_error *err)
{
	char text[APT_TEXT_MAX];
	enum lodge_err rc = apt_sources(w->p->release, w->p->mirror, text, err);
	FILE *f;

	if (rc != LODGE_OK)
		return rc;
	f = fopen(w->sources, "we");
	if (!f)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot write '%s'", w->sources);
	fputs(text, f);
	return fclose(f) ? error_set_os(err, LODGE_ERR_IO, errno, "cannot write '%s'", w->sources) : LODGE_OK;
}

static enum lodge_err fill_tree(const struct work *w, struct lodge_error *err)
{
	char hook[STORE_PATH_MAX + 32], proxy[APT_PROXY_MAX], options[2][APT_PROXY_MAX + 16];
	const char *args[ARGS_MAX] = { "mmdebstrap", "--mode=root", "--variant=minbase", "--architectures=amd64", "--include=" PACKAGES, hook };
	unsigned n = 6;

	snprintf(hook, sizeof(hook), "--customize-hook=%s", w->setup);
	for (unsigned i = 0; i < 2; i++) {
		if (apt_proxy(i ? "https" : "http", proxy, err) != LODGE_OK)
			return err->code;
		snprintf(options[i], sizeof(options[i]), "--aptopt=%s", proxy);
		if (*proxy)
			args[n++] = options[i];
	}
	args[n++] = w->p->release;
	args[n++] = w->tree;
	args[n++] = w->sources;
	return run_program(w, args, "starting mmdebstrap", w->tree, err);
}

static enum lodge_err make_disk(const struct work *w, struct lodge_error *err)
{
	char size[32];
	const char *const args[] = { "mke2fs", "-q", "-F", "-t", "ext4", "-L", "lodge-root", "-d", w->tree, w->disk, size, NULL };

	snprintf(size, sizeof(size), "%lluk", (unsigned long long)(w->p->bytes / 1024));
	return run_program(w, args, "making the disk", w->disk, err);
}

/* Package names and versions have no characters that JSON would need escaped: dpkg sees to it, and we look. */
static bool is_word(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] > '~' || s[i] == '"' || s[i] == '\\')
			return false;
	return len > 0;
}

static unsigned print_packages(FILE *f, const char *list)
{
	unsigned count = 0;

	while (*list) {
		size_t len = strcspn(list, "\n"), name = strcspn(list, " \n");

		if (name < len && is_word(list, name) && is_word(list + name + 1, len - name - 1))
			fprintf(f, "%s\n    \"%.*s\": \"%.*s\"", count++ ? "," : "", (int)name, list, (int)(len - name - 1), list + name + 1);
		list += len + (list[len] == '\n');
	}
	return count;
}

static enum lodge_err write_manifest(const struct work *w, struct debian_pulled *out, struct lodge_error *err)
{
	char admin[STORE_PATH_MAX + 32], date[32], list[LIST_BYTES];
	const char *const args[] = { "dpkg-query", admin, "--show", "--showformat=${Package} ${Version}\n", NULL };
	struct host_file_info info = { 0 };
	time_t now = time(NULL);
	struct tm tm;
	FILE *f;

	snprintf(admin, sizeof(admin), "--admindir=%s/var/lib/dpkg", w->tree);
	if (host_child_capture(args, list, sizeof(list), err) != LODGE_OK)
		return err->code;
	if (!host_file_info(w->disk, &info))
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot find '%s'", w->disk);
	f = fopen(w->manifest, "we");
	if (!f)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot write '%s'", w->manifest);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	fprintf(f, "{\n  \"name\": \"%s\",\n  \"release\": \"%s\",\n  \"architecture\": \"amd64\",\n  \"made\": \"%s\",\n", w->name, w->p->release, date);
	fprintf(f, "  \"bytes\": %llu,\n  \"taken_bytes\": %llu,\n  \"packages\": {", (unsigned long long)info.bytes, (unsigned long long)info.taken_bytes);
	out->packages = print_packages(f, list);
	fputs("\n  }\n}\n", f);
	out->bytes = info.bytes;
	out->taken_bytes = info.taken_bytes;
	return fclose(f) ? error_set_os(err, LODGE_ERR_IO, errno, "cannot write '%s'", w->manifest) : LODGE_OK;
}

/* The tree has owners that only the namespace's root may remove. */
static void remove_tree(const struct work *w)
{
	const char *all[ARRAY_LEN(w->prefix) + 8];
	const char *const args[] = { "rm", "-rf", "--one-file-system", "--", w->tree, NULL };
	char nothing[2];
	unsigned n = 0;

	for (unsigned i = 0; w->prefix[i]; i++)
		all[n++] = w->prefix[i];
	for (unsigned i = 0; i < ARRAY_LEN(args); i++)
		all[n++] = args[i];
	(void)!host_child_capture(all, nothing, sizeof(nothing), NULL);
}

static enum lodge_err put_in_place(const struct work *w, struct lodge_error *err)
{
	char final[STORE_PATH_MAX];
	enum lodge_err rc = store_path(w->name, "manifest.json", final, err);
	struct host_file_info info;

	unlink(w->sources);
	unlink(w->log);
	if (rc == LODGE_OK && host_file_info(final, &info))
		rc = store_remove(w->name, err);
	if (rc == LODGE_OK)
		rc = store_path(w->name, "", final, err);
	if (rc == LODGE_OK && rename(w->dir, final))
		rc = error_set_os(err, LODGE_ERR_IO, errno, "cannot rename '%s' to '%s'", w->dir, final);
	return rc;
}

static enum lodge_err make(struct work *w, struct debian_pulled *out, struct lodge_error *err)
{
	enum lodge_err rc = write_sources(w, err);

	if (rc == LODGE_OK)
		rc = fill_tree(w, err);
	if (rc == LODGE_OK)
		rc = make_disk(w, err);
	if (rc == LODGE_OK)
		rc = write_manifest(w, out, err);
	remove_tree(w);
	return rc == LODGE_OK ? put_in_place(w, err) : rc;
}

static enum lodge_err name_files(struct work *w, struct lodge_error *err)
{
	const struct {
		const char *name;
		char *path;
	} files[] = {
		{ ".new", w->dir },         { ".new/tree", w->tree },           { ".new/disk.raw", w->disk },
		{ ".new/log", w->log },     { ".new/debian.list", w->sources }, { ".new/manifest.json", w->manifest },
	};
	enum lodge_err rc = LODGE_OK;

	for (unsigned i = 0; i < ARRAY_LEN(files) && rc == LODGE_OK; i++)
		rc = store_path(NULL, files[i].name, files[i].path, err);
	return rc;
}

static enum lodge_err prepare(struct work *w, int *lock, struct lodge_error *err)
{
	char path[STORE_PATH_MAX];
	enum lodge_err rc = check_programs(err);

	if (rc == LODGE_OK)
		rc = choose_prefix(w, err);
	if (rc == LODGE_OK && !host_helper_find(SETUP_PROGRAM, w->setup, sizeof(w->setup)))
		rc = error_set(err, LODGE_ERR_NOT_FOUND, "cannot find the program " SETUP_PROGRAM ": build Lodge again, or `make install`");
	if (rc == LODGE_OK)
		rc = store_path(NULL, "", path, err);
	if (rc == LODGE_OK)
		rc = host_directory_make(path, err);
	if (rc == LODGE_OK)
		rc = store_path(NULL, ".lock", path, err);
	if (rc == LODGE_OK)
		*lock = host_lock_take(path, err);
	if (rc == LODGE_OK && *lock < 0)
		rc = err->code;
	if (rc == LODGE_OK)
		rc = name_files(w, err);
	if (rc != LODGE_OK)
		return rc;
	remove_tree(w); /* what a crash may have left */
	rc = host_tree_remove(w->dir, err);
	return rc == LODGE_OK ? host_directory_make(w->dir, err) : rc;
}

enum lodge_err debian_pull(const struct debian_pull *p, struct debian_pulled *out, struct lodge_error *err)
{
	struct work w = { .p = p };
	int lock = -1;
	enum lodge_err rc;

	if (p->bytes < DEBIAN_BYTES_MIN || p->bytes % 4096 || p->bytes > UINT64_C(1) << 44)
		return error_set(err, LODGE_ERR_ARG, "a disk for Debian has 1G to 16T, and whole pages");
	snprintf(w.name, sizeof(w.name), "debian-%s", p->release);
	rc = prepare(&w, &lock, err);
	if (rc == LODGE_OK)
		rc = make(&w, out, err);
	if (rc != LODGE_OK && lock >= 0)
		(void)!host_tree_remove(w.dir, NULL);
	if (lock >= 0)
		close(lock);
	return rc;
}
