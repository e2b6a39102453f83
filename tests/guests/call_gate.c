/* SPDX-License-Identifier: Apache-2.0 */
/* A 64-bit call gate from ring 3: stack switch, return, privilege and type checks. */
#include "guest.h"

#define GATE SEL_SPARE
void gate_target(void);
__asm__(".pushsection .text\ngate_target: mov %cs, gate_cs; mov %ss, gate_ss; mov %rsp, gate_sp; pushq 8(%rsp); popq gate_old_cs; lretq\n.popsection");
volatile u32 gate_cs, gate_ss;
volatile word gate_sp, gate_old_cs;

static void gate_set(u32 access, u16 sel)
{
	word to = (word)gate_target;

	guest_gdt[GATE / 8] = (to & 0xffff) | (u64)sel << 16 | (u64)access << 40 | (to >> 16 & 0xffff) << 48;
	guest_gdt[GATE / 8 + 1] = to >> 32;
}

void guest_main(void)
{
	/* lcall m16:32 takes offset 0 (4 bytes) then the selector: pushed as 0, then 4b at +4. */
	CODE(user_gate, "sub $16, %rsp; movl $0, (%rsp); movl $0x4b, 4(%rsp); lcall *(%rsp); add $16, %rsp; mov %rsp, %rdx\n" USER_END);
	gate_set(0xec, SEL_CODE);
	CHECK_EQ(USER(user_gate, 0), 0x80);
	CHECK_EQ(gate_cs, SEL_CODE);
	CHECK_EQ(gate_ss, 0);
	CHECK_EQ(gate_sp, (word)kernel_entry_stack - 32);
	CHECK_EQ(gate_old_cs, SEL_USER_CODE64);
	CHECK_EQ(trap.f.dx, WINDOW_USER_STACK + 4096);
	CHECK_EQ(trap.f.cs, SEL_USER_CODE64);
	gate_set(0x8c, SEL_CODE); /* DPL 0 */
	CHECK_EQ(USER(user_gate, 0), GP);
	CHECK_EQ(trap.f.error, GATE);
	gate_set(0x6c, SEL_CODE); /* not present */
	CHECK_EQ(USER(user_gate, 0), NP);
	CHECK_EQ(trap.f.error, GATE);
	gate_set(0xec, SEL_DATA);
	CHECK_EQ(USER(user_gate, 0), GP);
	CHECK_EQ(trap.f.error, SEL_DATA);
	gate_set(0xe4, SEL_CODE); /* 16-bit gates do not exist in long mode */
	CHECK_EQ(USER(user_gate, 0), GP);
	CHECK_EQ(trap.f.error, GATE);
	gate_set(0xec, SEL_CODE);
	guest_gdt[GATE / 8 + 1] |= 0x0900ull << 32; /* the upper half must be of type 0 */
	CHECK_EQ(USER(user_gate, 0), GP);
}
