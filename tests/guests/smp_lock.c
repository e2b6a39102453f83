/* SPDX-License-Identifier: Apache-2.0 */
/* run: cpus=4 */
/* Locked instructions of four CPUs on shared words: nothing is lost. */
#include "guest.h"

#define ROUNDS 20000u
static volatile u64 add, xadd, inc, cmpxchg __attribute__((aligned(64)));
static volatile u64 wide[2] __attribute__((aligned(16)));
static volatile u32 bits[8], done, go;
static u8 split[128] __attribute__((aligned(64)));

static void worker(unsigned cpu)
{
	while (!go)
		pause();
	for (u32 i = 0; i < ROUNDS; i++) {
		__asm__ volatile("lock addq $3, %0" : "+m"(add) : : "cc");
		__asm__ volatile("lock incq %0" : "+m"(inc) : : "cc");
		u64 v = 2, old, new;
		__asm__ volatile("lock xaddq %1, %0" : "+m"(xadd), "+r"(v) : : "cc");
		__asm__ volatile("lock incl %0" : "+m"(*(u32 *)(split + 62)) : : "cc");
		do {
			old = cmpxchg;
			new = old + 1;
			__asm__ volatile("lock cmpxchgq %2, %0" : "+m"(cmpxchg), "+a"(old) : "r"(new) : "cc");
		} while (old + 1 != new);
		if (i % 16 == 0) {
			u8 ok;
			u64 lo = wide[0], hi = wide[1];
			do {
				u64 nlo = lo + 1, nhi = hi + 2;
				__asm__ volatile("lock cmpxchg16b %0; setz %1" : "+m"(*(u8(*)[16])wide), "=q"(ok), "+a"(lo), "+d"(hi)
						 : "b"(nlo), "c"(nhi) : "cc");
			} while (!ok);
		}
		u32 bit = cpu * 8 + i % 8;
		__asm__ volatile("lock btcl %1, %0" : "+m"(*(u32(*)[8])bits) : "r"(bit) : "cc");
	}
	__asm__ volatile("lock incl %0" : "+m"(done) : : "cc");
}

void guest_main(void)
{
	smp_start(4, worker);
	go = 1;
	worker(0);
	CHECK(wait_for(&done, 4));
	CHECK_EQ(add, 3ull * 4 * ROUNDS);
	CHECK_EQ(xadd, 2ull * 4 * ROUNDS);
	CHECK_EQ(inc, 4ull * ROUNDS);
	CHECK_EQ(cmpxchg, 4ull * ROUNDS);
	CHECK_EQ(*(u32 *)(split + 62), 4ull * ROUNDS);
	CHECK_EQ(wide[0], 4ull * ROUNDS / 16);
	CHECK_EQ(wide[1], 8ull * ROUNDS / 16);
	CHECK_EQ(bits[0], 0);
}
