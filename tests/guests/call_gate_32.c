/* SPDX-License-Identifier: Apache-2.0 */
/* A 32-bit call gate: to ring 0 with parameters copied, return with RET n; far calls and jumps without a gate. */
#include "guest.h"

void gate_target(void);
__asm__(".pushsection .text\ngate_target: mov %cs, gate_cs; mov %esp, gate_sp; mov 8(%esp), %eax; mov %eax, gate_arg\n"
	"mov 12(%esp), %eax; mov %eax, gate_arg + 4; lret $8\n.popsection");
volatile u32 gate_cs, gate_sp, gate_arg[2];
CODE(user, "mov %esp, %ebx; push $0x22; push $0x11; lcall $0x4b, $0; sub %esp, %ebx; mov %cs, %ecx\n" USER_END);
CODE(user_direct, "lcall $0x08, $0\n");
#define GATE SEL_SPARE

void guest_main(void)
{
	u32 to = (u32)gate_target;

	guest_gdt[GATE / 8] = (to & 0xffff) | SEL_CODE << 16 | 2ull << 32 | 0xecull << 40 | (u64)(to >> 16) << 48;
	CHECK_EQ(USER(user, 0), 0x80);
	CHECK_EQ(gate_cs, SEL_CODE);
	CHECK_EQ(gate_sp, (u32)kernel_entry_stack - 24);
	CHECK_EQ(gate_arg[0], 0x11);
	CHECK_EQ(gate_arg[1], 0x22);
	CHECK_EQ(trap.f.bx, 0);
	CHECK_EQ(trap.f.cx, SEL_USER_CODE32);
	CHECK_EQ(USER(user_direct, 0), GP);
	CHECK_EQ(trap.f.error, SEL_CODE);
	guest_gdt[GATE / 8] &= ~(0x60ull << 40); /* DPL 0 */
	CHECK_EQ(USER(user, 0), GP);
	CHECK_EQ(trap.f.error, GATE);
	__asm__ volatile("push $0x22; push $0x11; lcall $0x48, $0" ::: "eax", "memory"); /* same ring: no copy; RET takes them */
	CHECK_EQ(gate_arg[0], 0x11);
	TRY("ljmp $0x10, $0", );
	CHECK_FAULT(GP, 0x10);
	TRY("ljmp $0, $0", );
	CHECK_FAULT(GP, 0);
}
