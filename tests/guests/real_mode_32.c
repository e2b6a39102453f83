/* SPDX-License-Identifier: Apache-2.0 */
/* Real mode and back: far jumps, IVT interrupts, 64 KiB limits, 20-bit addressing, big real mode, a mode switch many times. */
#include "guest.h"

/* At 0x7000: called in protected mode, runs the code at 0x7800 in real mode, comes back. */
CODE(bridge,
     "pusha; cli; mov %esp, 0x7f00; sidt 0x7f08; lidt 0x7f10; ljmp $0x28, $0x7000 + (1f - bridge)\n.code16\n"
     "1: mov $0x38, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %fs; mov %ax, %gs; mov %ax, %ss\n"
     "mov %cr0, %eax; and $0xfe, %al; mov %eax, %cr0; ljmp $0, $0x7000 + (2f - bridge)\n"
     "2: xor %ax, %ax; mov %ax, %ds; mov %ax, %es; mov %ax, %fs; mov %ax, %gs; mov %ax, %ss; mov $0x7000, %esp; lcall $0x780, $0\n"
     "cli; xor %ax, %ax; mov %ax, %ds; mov %cr0, %eax; or $1, %al; mov %eax, %cr0; ljmpl $0x08, $0x7000 + (3f - bridge)\n.code32\n"
     "3: mov $0x10, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %fs; mov %eax, %gs; mov %eax, %ss; mov 0x7f00, %esp; lidt 0x7f08; popa; ret\n");
#define RESULT ((volatile u32 *)0x7e00)

static void real(const u8 *code, const u8 *end)
{
	memory_copy((void *)0x7800, code, (word)(end - code));
	((void (*)(void))0x7000)();
}
#define REAL(name) real(name, name##_end)
CODE(r_segments, ".code16\nmov $0x1234, %ax; mov %ax, %es; mov %cs, %bx; movl $0xcafe, %es:0x10; mov %bx, 0x7e00; smsw 0x7e04; lret\n.code32");
CODE(r_int, ".code16\nmovw $1f - r_int, 4*0x60; movw $0x780, 4*0x60+2; sti; int $0x60; pushf; popw 0x7e08; cli; lret\n"
	    "1: pushf; popw 0x7e04; movl $0x77, 0x7e00; mov %sp, 0x7e0c; iret\n.code32");
CODE(r_limit, ".code16\nmovw $1f - r_limit, 4*13; movw $0x780, 4*13+2; mov $0xffff, %bx; mov (%bx), %ax; movl $1, 0x7e00; lret\n"
	      "1: movl $13, 0x7e00; pop %ax; mov %ax, 0x7e04; add $4, %sp; lret\n.code32");
CODE(r_divide, ".code16\nmovw $1f - r_divide, 0; movw $0x780, 2; 2: xor %cx, %cx; div %cx; movl $1, 0x7e00; lret\n"
	       "1: pop %ax; sub $2b - r_divide + 2, %ax; mov %ax, 0x7e00; add $4, %sp; lret\n.code32");
CODE(r_wrap, ".code16\nmov $0xffff, %ax; mov %ax, %es; mov %es:0x10, %eax; mov %eax, 0x7e00; lret\n.code32");
CODE(r_unreal, ".code16\nmov %cr0, %eax; or $1, %al; mov %eax, %cr0; mov $0x10, %bx; mov %bx, %fs; and $0xfe, %al; mov %eax, %cr0\n"
	       "addr32 mov %fs:0x1000000, %eax; mov %eax, 0x7e00; xor %bx, %bx; mov %bx, %fs; addr32 mov %fs:0x1000000, %eax; mov %eax, 0x7e04; lret\n.code32");

void guest_main(void)
{
	memory_copy((void *)0x7000, bridge, (word)(bridge_end - bridge));
	*(u16 *)0x7f10 = 0x3ff;
	*(u32 *)0x7f12 = 0;
	REAL(r_segments);
	CHECK_EQ(RESULT[0] & 0xffff, 0x780);
	CHECK_EQ(RESULT[1] & 1, 0);
	CHECK_EQ(*(u32 *)0x12350, 0xcafe);
	REAL(r_int);
	CHECK_EQ(RESULT[0], 0x77);
	CHECK_EQ(RESULT[1] & FLAG_IF, 0);
	CHECK_EQ(RESULT[2] & FLAG_IF, FLAG_IF);
	CHECK_EQ(RESULT[3] & 0xffff, 0x7000 - 4 - 6);
	REAL(r_limit);
	CHECK_EQ(RESULT[0], 13);
	REAL(r_divide);
	CHECK_EQ(RESULT[0] & 0xffff, 0);
	*(u32 *)0x100000 = *(u32 *)0x100000; /* above 1 MiB, A20 on */
	REAL(r_wrap);
	CHECK_EQ(RESULT[0], *(u32 *)0x100000);
	*(u32 *)page_alloc() = 0x600df00d;
	REAL(r_unreal);
	CHECK_EQ(RESULT[0], 0x600df00d);
	CHECK_EQ(RESULT[1], 0x600df00d); /* loading a selector in real mode leaves the limit */
	for (unsigned i = 0; i < 100; i++) {
		RESULT[0] = 0;
		REAL(r_segments);
		CHECK_EQ(RESULT[0] & 0xffff, 0x780);
	}
}
