/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, log levels and the budget for what guests provoke. */
#include <errno.h>
#include <string.h>
#include "unit.h"
#include "base/error.h"
#include "base/log.h"

struct capture {
	unsigned lines;
	enum log_level level;
	char last[1024];
};

static void capture_line(void *ctx, enum log_level level, const char *line)
{
	struct capture *c = ctx;

	c->lines++;
	c->level = level;
	strncpy(c->last, line, sizeof(c->last) - 1);
}

static void levels_filter(void **state)
{
	struct capture c = { 0 };
	struct log log;

	log_init(&log, capture_line, &c, LOG_INFO);
	log_line(&log, LOG_DEBUG, "no");
	assert_int_equal(c.lines, 0);
	log_line(&log, LOG_ERROR, "value %d", 5);
	assert_int_equal(c.lines, 1);
	assert_int_equal(c.level, LOG_ERROR);
	assert_string_equal(c.last, "value 5");
	log_line(NULL, LOG_ERROR, "nobody");
	log_init(&log, NULL, NULL, LOG_DEBUG);
	log_line(&log, LOG_ERROR, "nobody");
}

static void a_guest_cannot_flood_the_log(void **state)
{
	struct capture c = { 0 };
	struct log log;
	unsigned budget;

	log_init(&log, capture_line, &c, LOG_DEBUG);
	for (int i = 0; i < 100000; i++)
		log_guest(&log, "again");
	budget = c.lines;
	assert_in_range(budget, 1, 1000);
	log_refill(&log);
	assert_int_equal(c.lines, budget + 1);
	assert_non_null(strstr(c.last, "dropped"));
	log_guest(&log, "again");
	assert_int_equal(c.lines, budget + 2);
}

static void control_characters_do_not_reach_the_terminal(void **state)
{
	struct capture c = { 0 };
	struct log log;

	log_init(&log, capture_line, &c, LOG_DEBUG);
	log_guest(&log, "a%sb", "\x1b[2J\n");
	assert_string_equal(c.last, "a [2J b");
}

static void errors_carry_code_and_words(void **state)
{
	struct lodge_error err = { 0 };

	assert_int_equal(error_set(&err, LODGE_ERR_RANGE, "at %d", 7), LODGE_ERR_RANGE);
	assert_int_equal(err.code, LODGE_ERR_RANGE);
	assert_string_equal(err.text, "at 7");
	assert_int_equal(error_set_os(&err, LODGE_ERR_IO, ENOENT, "cannot open '%s'", "f"), LODGE_ERR_IO);
	assert_int_equal(err.os_error, ENOENT);
	assert_string_equal(err.text, "cannot open 'f': No such file or directory");
	assert_int_equal(error_set(NULL, LODGE_ERR_ARG, "nobody"), LODGE_ERR_ARG);
	assert_int_equal(error_set_os(NULL, LODGE_ERR_ARG, 1, "nobody"), LODGE_ERR_ARG);
	for (int code = LODGE_OK; code <= LODGE_ERR_INTERNAL; code++)
		assert_string_not_equal(lodge_err_name((enum lodge_err)code), "unknown error");
}

static void long_texts_are_cut(void **state)
{
	struct lodge_error err = { 0 };
	char text[2000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	error_set_os(&err, LODGE_ERR_IO, EIO, "%s", text);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(levels_filter),
		cmocka_unit_test(a_guest_cannot_flood_the_log),
		cmocka_unit_test(control_characters_do_not_reach_the_terminal),
		cmocka_unit_test(errors_carry_code_and_words),
		cmocka_unit_test(long_texts_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
