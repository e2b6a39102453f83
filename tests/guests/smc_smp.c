/* SPDX-License-Identifier: Apache-2.0 */
/* run: cpus=2 */
/* One CPU changes code that another runs: atomic changes of an immediate are seen soon, and never torn. */
#include "guest.h"

CODE(template, "mov $0, %eax; ret\n");
static u8 *page;
static volatile u32 seen, stop, stopped, bad;

static void runner(unsigned cpu)
{
	u32 last = 0;

	while (!stop) {
		u32 v;
		__asm__ volatile("xor %%eax, %%eax; push %%rbx; cpuid; pop %%rbx" ::: "rax", "rcx", "rdx", "memory"); /* serialise */
		__asm__ volatile("call *%1" : "=a"(v) : "r"(page + 3) : "memory", "cc");
		if (v < last)
			bad = 1;
		last = v;
		seen = v;
	}
	stopped = 1;
}

void guest_main(void)
{
	page = page_alloc();
	memory_copy(page + 3, template, 6); /* the immediate is aligned */
	smp_start(2, runner);
	for (u32 i = 1; i < 200; i++) {
		*(volatile u32 *)(page + 4) = i;
		CHECK(wait_for(&seen, i));
	}
	stop = 1;
	CHECK(wait_for(&stopped, 1));
	CHECK(!bad);
}
