/* SPDX-License-Identifier: Apache-2.0 */
/* RET of ring 3 to an address of ring 0 that was just called from: #PF there, never ring 0 code. */
#include "guest.h"

CODE(user, "push %rdi; ret\n");
CODE(user_call, "call 1f; ud2; 1: mov %rdi, (%rsp); ret\n");
void kernel_function(void);
__asm__(".pushsection .text\nkernel_function: lea 1f(%rip), %rax; mov %rax, return_address; call 2f; 1: incl reached; ret; 2: ret\n.popsection");
extern word user_saved_sp;
volatile word return_address;
volatile u32 reached;

void guest_main(void)
{
	for (unsigned i = 0; i < 200; i++) {
		kernel_function();
		CHECK_EQ(USER(user, return_address), PF);
		CHECK_EQ(trap.f.error, PF_P | PF_U | PF_I);
		CHECK_EQ(trap.f.ip, return_address);
		CHECK_EQ(trap.f.cs, SEL_USER_CODE64);
		CHECK_EQ(USER(user_call, return_address), PF);
		CHECK_EQ(trap.f.ip, return_address);
		CHECK_EQ(reached, i + 1);
	}
	/* The innermost of those that are still to be returned to: user_enter()'s, above the six registers that it saves. */
	word innermost = ((word *)user_saved_sp)[6];

	for (unsigned i = 0; i < 50; i++) {
		CHECK_EQ(USER(user, innermost), PF);
		CHECK_EQ(trap.f.ip, innermost);
		CHECK_EQ(trap.f.cs, SEL_USER_CODE64);
	}
}
