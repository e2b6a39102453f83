/* SPDX-License-Identifier: Apache-2.0 */
/* The host's apt configuration, asked from apt itself; see apt.h. */
#include <stdio.h>
#include <string.h>

#include "host/child.h"
#include "image/apt.h"

#define KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"
#define TARGETS_MAX 32768

/* Text without what could end a word or a line of a sources.list. */
static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s > '~' || strchr("[]#\"'\\", *s))
			return false;
	return true;
}

struct mirrors {
	char archive[1024], security[1024];
};

/* One line of targets, taken apart in place. */
static void take_target(struct mirrors *m, char *line)
{
	char *codename = line, *uri = strchr(line, '|'), *component;
	size_t len;

	component = uri ? strchr(uri + 1, '|') : NULL;
	if (!component)
		return;
	*uri++ = 0;
	*component++ = 0;
	len = strlen(codename);
	if (strcmp(component, "main") || !is_plain(uri) || strlen(uri) >= sizeof(m->archive))
		return;
	if (len > 9 && !strcmp(codename + len - 9, "-security")) {
		if (!*m->security)
			strcpy(m->security, uri);
	} else if (!strchr(codename, '-') && !*m->archive) { /* not its -updates or -backports */
		strcpy(m->archive, uri);
	}
}

enum lodge_err apt_sources_from(const char *targets, const char *release, const char *mirror, char text[APT_TEXT_MAX], struct lodge_error *err)
{
	struct mirrors m = { 0 };
	char line[2048];
	const char *archive;
	int n;

	if (mirror && (!is_plain(mirror) || !strstr(mirror, "://")))
		return error_set(err, LODGE_ERR_ARG, "'%s' is no mirror's URL; for example: https://deb.debian.org/debian", mirror);
	while (*targets) {
		size_t len = strcspn(targets, "\n");

		if (len < sizeof(line)) {
			memcpy(line, targets, len);
			line[len] = 0;
			take_target(&m, line);
		}
		targets += len + (targets[len] == '\n');
	}
	archive = mirror ? mirror : m.archive;
	if (!*archive)
		return error_set(err, LODGE_ERR_NOT_FOUND,
				 "this host's apt knows no mirror of Debian: run `apt-get update`, or name one with --mirror URL");
	n = snprintf(text, APT_TEXT_MAX, "deb [signed-by=" KEYRING "] %s %s main\ndeb [signed-by=" KEYRING "] %s %s-updates main\n", archive, release, archive,
		     release);
	if (*m.security)
		snprintf(text + n, APT_TEXT_MAX - (size_t)n, "deb [signed-by=" KEYRING "] %s %s-security main\n", m.security, release);
	return LODGE_OK;
}

enum lodge_err apt_sources(const char *release, const char *mirror, char text[APT_TEXT_MAX], struct lodge_error *err)
{
	static const char *const args[] = { "apt-get",		    "indextargets",   "--format", "$(CODENAME)|$(REPO_URI)|$(COMPONENT)",
					    "Created-By: Packages", "Origin: Debian", NULL };
	char targets[TARGETS_MAX];
	enum lodge_err rc = LODGE_OK;

	*targets = 0;
	if (host_program_present("apt-get"))
		rc = host_child_capture(args, targets, sizeof(targets), err);
	return rc == LODGE_OK ? apt_sources_from(targets, release, mirror, text, err) : rc;
}

enum lodge_err apt_proxy(const char *scheme, char option[APT_PROXY_MAX], struct lodge_error *err)
{
	char key[64], line[APT_PROXY_MAX], *value, *end;
	const char *const args[] = { "apt-config", "dump", "--no-empty", "--format", "%f=%v%n", key, NULL };
	enum lodge_err rc = LODGE_OK;

	*option = *line = 0;
	snprintf(key, sizeof(key), "Acquire::%s::Proxy", scheme);
	if (host_program_present("apt-config"))
		rc = host_child_capture(args, line, sizeof(line), err);
	/* The first line is the option itself; proxies of single hosts may follow. */
	end = strchr(line, '\n');
	value = strchr(line, '=');
	if (rc != LODGE_OK || !end || !value || value > end || strncmp(line, key, (size_t)(value - line)))
		return rc;
	*end = 0;
	if (is_plain(value + 1) && snprintf(option, APT_PROXY_MAX, "%s \"%s\";", key, value + 1) >= APT_PROXY_MAX)
		*option = 0;
	return LODGE_OK;
}
