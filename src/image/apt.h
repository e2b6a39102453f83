/* SPDX-License-Identifier: Apache-2.0 */
/* What this host's apt is configured for: where an image's packages come from. */
#ifndef LODGE_IMAGE_APT_H
#define LODGE_IMAGE_APT_H

#include "base/error.h"

#define APT_TEXT_MAX 8192
#define APT_PROXY_MAX 512

/*
 * Lines of a sources.list for Debian's @release ("trixie"), its updates and its
 * security updates, from the mirrors that the host uses for its own release, or
 * from @mirror (NULL: the host's).
 */
enum lodge_err apt_sources(const char *release, const char *mirror, char text[APT_TEXT_MAX], struct lodge_error *err) LODGE_MUST_CHECK;
/* The same from what `apt-get indextargets` said, one "CODENAME|URI|COMPONENT" a line, Debian's only. */
enum lodge_err apt_sources_from(const char *targets, const char *release, const char *mirror, char text[APT_TEXT_MAX],
				struct lodge_error *err) LODGE_MUST_CHECK;

/* The proxy for @scheme ("http") as an apt option, or "" if there is none. */
enum lodge_err apt_proxy(const char *scheme, char option[APT_PROXY_MAX], struct lodge_error *err) LODGE_MUST_CHECK;

#endif
