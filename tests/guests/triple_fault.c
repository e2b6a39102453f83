/* SPDX-License-Identifier: Apache-2.0 */
/* run: reset */
/* A fault that cannot be delivered at all resets the machine. */
#include "guest.h"

void guest_main(void)
{
	struct { u16 limit; u64 base; } __attribute__((packed)) none = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" : : "m"(none));
}
