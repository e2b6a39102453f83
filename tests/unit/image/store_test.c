/* SPDX-License-Identifier: Apache-2.0 */
/* Names and places of images, apt's configuration as sources, and the children that make images. */
#include "../block/block_fixture.h"

#include "host/child.h"
#include "host/directory.h"
#include "image/apt.h"
#include "image/store.h"

static void names_are_never_paths(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", ".new", "-x", "a b", "a\n", "\xc3\xa4", "x/../y" };
	struct lodge_error err = { 0 };
	char name[STORE_NAME_MAX + 1], large[STORE_NAME_MAX + 2];

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(store_name(bad[i], name, &err), LODGE_ERR_ARG);
	memset(large, 'a', sizeof(large) - 1);
	large[sizeof(large) - 1] = 0;
	assert_int_equal(store_name(large, name, &err), LODGE_ERR_ARG);
	assert_int_equal(store_name(large + 1, name, &err), LODGE_OK);
	assert_int_equal(store_name("debian", name, &err), LODGE_OK);
	assert_string_equal(name, "debian-bookworm");
	assert_int_equal(store_name("debian:trixie", name, &err), LODGE_OK);
	assert_string_equal(name, "debian-trixie");
}

static void count_image(void *ctx, const char *name)
{
	unsigned *n = ctx;

	assert_string_equal(name, "whole");
	(*n)++;
}

static void lists_and_removes_whole_images(void **state)
{
	struct lodge_error err = { 0 };
	struct host_file_info info;
	unsigned n = 0;

	setenv("XDG_DATA_HOME", scratch_dir, 1);
	assert_int_equal(store_list(count_image, &n, &err), LODGE_OK); /* no directory yet */
	assert_int_equal(shell("mkdir -p lodge/images/whole/sub lodge/images/half lodge/images/.new outside && cd lodge/images"
			       " && : >whole/manifest.json && : >half/disk.raw && : >.new/manifest.json && : >../../outside/kept"
			       " && ln -s ../../../outside whole/link"), 0);
	assert_int_equal(store_list(count_image, &n, &err), LODGE_OK);
	assert_int_equal(n, 1);
	assert_int_equal(store_remove("half", &err), LODGE_ERR_NOT_FOUND);
	assert_int_equal(store_remove("whole", &err), LODGE_OK);
	assert_false(host_file_info(path_of(0, "lodge/images/whole"), &info));
	assert_false(host_file_info(path_of(0, "lodge/images/.removed"), &info));
	assert_true(host_file_info(path_of(0, "outside/kept"), &info));
	assert_int_equal(store_remove("whole", &err), LODGE_ERR_NOT_FOUND);
}

static void makes_sources_of_what_apt_has(void **state)
{
	static const char targets[] = "bookworm-updates|http://updates/debian/|main\nbookworm|http://a/debian/|contrib\nbookworm|http://a/debian/|main\n"
				      "bookworm-security|http://s/sec/|main\nbookworm|http://second/|main\ngarbage\nx|y\n";
	struct lodge_error err = { 0 };
	char text[APT_TEXT_MAX];

	assert_int_equal(apt_sources_from(targets, "trixie", NULL, text, &err), LODGE_OK);
	assert_non_null(strstr(text, "] http://a/debian/ trixie main\n"));
	assert_non_null(strstr(text, "] http://a/debian/ trixie-updates main\n"));
	assert_non_null(strstr(text, "] http://s/sec/ trixie-security main\n"));
	assert_null(strstr(text, "second"));
	assert_int_equal(apt_sources_from(targets, "trixie", "https://m/d", text, &err), LODGE_OK);
	assert_non_null(strstr(text, "] https://m/d trixie main\n"));
	assert_null(strstr(text, "http://a/"));
	assert_int_equal(apt_sources_from("", "trixie", NULL, text, &err), LODGE_ERR_NOT_FOUND);
	assert_int_equal(apt_sources_from("bookworm|http://a b/|main\n", "trixie", NULL, text, &err), LODGE_ERR_NOT_FOUND);
	assert_int_equal(apt_sources_from(targets, "trixie", "http://m [trusted=yes]", text, &err), LODGE_ERR_ARG);
	assert_int_equal(apt_sources_from(targets, "trixie", "http://m\ndeb", text, &err), LODGE_ERR_ARG);
}

static void runs_children(void **state)
{
	static const char *const echo[] = { "echo", "$HOME;", "b", NULL }, *const fails[] = { "false", NULL }, *const none[] = { "no-such-program", NULL };
	static const char *const sleeps[] = { "sleep", "1000", NULL };
	struct lodge_error err = { 0 };
	struct host_child child;
	char text[16], little[4];
	int pair[2];

	assert_int_equal(host_child_capture(echo, text, sizeof(text), &err), LODGE_OK);
	assert_string_equal(text, "$HOME; b\n");
	assert_int_equal(host_child_capture(echo, little, sizeof(little), &err), LODGE_OK);
	assert_string_equal(little, "$HO");
	assert_int_equal(host_child_capture(fails, text, sizeof(text), &err), LODGE_ERR_IO);
	assert_non_null(strstr(err.text, "exit status 1"));
	assert_int_equal(host_child_capture(none, text, sizeof(text), &err), LODGE_ERR_NOT_FOUND);
	assert_true(host_program_present("sh"));
	assert_false(host_program_present("no-such-program"));

	assert_int_equal(pipe(pair), 0);
	assert_int_equal(host_child_start(&child, sleeps, STDOUT_FILENO, &err), LODGE_OK);
	assert_int_equal(host_child_wait(&child, pair[0], 1), HOST_CHILD_RUNS);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(host_child_wait(&child, pair[0], -1), HOST_CHILD_INTERRUPTED);
	host_child_stop(&child);
	assert_int_equal(child.pid, 0);
	host_child_stop(&child);
	close(pair[0]);
	close(pair[1]);
}

static void locks_exclude_each_other(void **state)
{
	struct lodge_error err = { 0 };
	int first = host_lock_take(path_of(0, "lock"), &err);

	assert_true(first >= 0);
	assert_int_equal(host_lock_take(path_of(0, "lock"), &err), -1);
	assert_int_equal(err.code, LODGE_ERR_BUSY);
	close(first);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_never_paths), cmocka_unit_test(lists_and_removes_whole_images), cmocka_unit_test(makes_sources_of_what_apt_has),
		cmocka_unit_test(runs_children),         cmocka_unit_test(locks_exclude_each_other),
	};

	return cmocka_run_group_tests(tests, scratch_make, scratch_drop);
}
