/* SPDX-License-Identifier: Apache-2.0 */
/* The framework itself: start, long mode, an exception, the exit. */
#include "guest.h"

void guest_main(void)
{
	CHECK_EQ(TRY("ud2", ), UD);
	CHECK_FAULT(UD, 0);
	CHECK_EQ(TRY("nop", ), NO_TRAP);
}
