/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual-8086 mode: real-mode addressing, sensitive instructions #GP with IOPL 0 and work with 3, entry frame, VM back. */
#include "guest.h"

static u32 v86_run(const u8 *code, const u8 *end, u32 flags)
{
	memory_copy((void *)0x7100, code, (word)(end - code));
	trap.vector = NO_TRAP;
	user_enter((u32[9]){ 0x100, 0x700, FLAG_VM | 2 | flags, 0xff0, 0x600, 0x123, 0x800, 0x900, 0xa00 });
	return trap.vector;
}
#define V86(name, flags) v86_run(name, name##_end, flags)
CODE(code_move, ".code16\nmov $0x1234, %ax; mov %ax, 0x10; mov %ds, %bx; mov %ss, %cx; mov %cs, %dx; push %ax; ud2\n.code32");
CODE(code_cli, ".code16\ncli; ud2\n.code32");
CODE(code_pushf, ".code16\npushf; ud2\n.code32");
CODE(code_int, ".code16\nint $0x80\n.code32");
CODE(code_hlt, ".code16\nhlt\n.code32");
CODE(code_in, ".code16\nin $0x80, %al; ud2\n.code32");
CODE(code_lgdt, ".code16\nlldt %ax\n.code32");
CODE(code_limit, ".code16\nmov 0xffff, %ax\n.code32");

void guest_main(void)
{
	CHECK_EQ(V86(code_move, 0), UD);
	CHECK_EQ(*(u16 *)0x8010, 0x1234);
	CHECK_EQ(*(u16 *)0x6fee, 0x1234);
	CHECK_EQ(trap.f.bx & 0xffff, 0x800);
	CHECK_EQ(trap.f.cx & 0xffff, 0x600);
	CHECK_EQ(trap.f.dx & 0xffff, 0x700);
	CHECK(trap.f.flags & FLAG_VM);
	CHECK_EQ(trap.f.cs & 0xffff, 0x700);
	CHECK_EQ(trap.f.ss & 0xffff, 0x600);
	CHECK_EQ(trap.f.v86_es & 0xffff, 0x123);
	CHECK_EQ(trap.f.v86_ds & 0xffff, 0x800);
	CHECK_EQ(trap.f.v86_fs & 0xffff, 0x900);
	CHECK_EQ(trap.f.v86_gs & 0xffff, 0xa00);
	CHECK(!(flags_read() & FLAG_VM));
	CHECK_EQ(V86(code_cli, 0), GP);
	CHECK_EQ(trap.f.error, 0);
	CHECK_EQ(trap.f.ip, 0x100);
	CHECK_EQ(V86(code_cli, 0x3200), UD);
	CHECK_EQ(trap.f.flags & FLAG_IF, 0);
	CHECK_EQ(V86(code_pushf, 0), GP);
	CHECK_EQ(V86(code_pushf, 0x3000), UD);
	CHECK_EQ(V86(code_int, 0), GP);
	CHECK_EQ(V86(code_int, 0x3000), 0x80);
	CHECK_EQ(trap.f.ip, 0x102);
	CHECK_EQ(V86(code_hlt, 0x3000), GP);
	CHECK_EQ(V86(code_in, 0x3000), GP); /* the bitmap decides, whatever IOPL */
	CHECK_EQ(V86(code_lgdt, 0x3000), UD);
	CHECK_EQ(V86(code_limit, 0), GP);
}
