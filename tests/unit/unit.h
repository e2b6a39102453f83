/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka and what it wants included before it. */
#ifndef LODGE_TESTS_UNIT_H
#define LODGE_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
