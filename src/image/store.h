/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where images are: $XDG_DATA_HOME/lodge/images/NAME/ holds disk.raw and
 * manifest.json. An image is made below a hidden name and renamed when it is
 * whole; what VMs write goes to files of theirs.
 */
#ifndef LODGE_IMAGE_STORE_H
#define LODGE_IMAGE_STORE_H

#include "base/error.h"

#define STORE_PATH_MAX 4096
#define STORE_NAME_MAX 63

/* Letters, digits, '-', '_', '.', the first one a letter or a digit: never a path. */
bool store_name_valid(const char *name);

/* "debian" and "debian:trixie" as the directory is called: "debian-bookworm", "debian-trixie". */
enum lodge_err store_name(const char *word, char name[STORE_NAME_MAX + 1], struct lodge_error *err) LODGE_MUST_CHECK;

/* The path of @file ("" for the directory itself) of image @name; of the directory of all images if @name is NULL. */
enum lodge_err store_path(const char *name, const char *file, char path[STORE_PATH_MAX], struct lodge_error *err) LODGE_MUST_CHECK;

/* Call @each for every whole image, by name. */
enum lodge_err store_list(void (*each)(void *ctx, const char *name), void *ctx, struct lodge_error *err) LODGE_MUST_CHECK;

enum lodge_err store_remove(const char *name, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
