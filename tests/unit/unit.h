/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka, what it wants included before it, and how a test is skipped. */
#ifndef LODGE_TESTS_UNIT_H
#define LODGE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* Ends the test. The line is what scripts/run_checks counts by, so that what did not run is not called passed. */
static inline void unit_skip(const char *reason)
{
	printf("skipped: %s\n", reason);
	fflush(stdout);
	skip();
}

#endif
