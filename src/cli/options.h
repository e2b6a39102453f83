/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `lodge run`: from words to a vm_config, and what is assumed where none are given. */
#ifndef LODGE_CLI_OPTIONS_H
#define LODGE_CLI_OPTIONS_H

#include "image/store.h"
#include "vm/vm_config.h"

/* What the defaults depend on. */
struct options_terminal {
	bool present;
	unsigned columns, rows;
	const char *type; /* $TERM or NULL */
};

/* Strings are argv's or owned by this; config points into it. */
struct run_options {
	struct vm_config config;
	const char *status_file;
	const char *debugcon; /* path or NULL */
	const char *image; /* the word that is no option; NULL: none. Its disk is config.disks[0], whose path the caller fills in */
	bool temporary; /* --rm */
	char *command; /* quoted for sh; NULL: none */
	bool help;
	bool hop; /* set by the caller: as `lodge debug hop` takes them */
	bool soft_only; /* the same for `lodge debug block` */
	bool net_told;
	char name[STORE_NAME_MAX + 1]; /* the image's, as its directory is called */
	char *append, *image_append, *kernel, *initrd;
	char *disks[VM_DISKS_MAX]; /* what config.disks point into */
};

/*
 * Fill @o, zeroed but for what the caller says, from argv[1..]. On failure what was understood so far stays,
 * and status_file is right even if it stands behind the mistake.
 */
enum lodge_err options_parse(struct run_options *o, int argc, char **argv, struct lodge_error *err) LODGE_MUST_CHECK;

/* Find the default kernel and initramfs where none are named, and make the kernel's command line. */
enum lodge_err options_complete(struct run_options *o, const struct options_terminal *terminal, struct lodge_error *err) LODGE_MUST_CHECK;

void options_free(struct run_options *o);

#endif
