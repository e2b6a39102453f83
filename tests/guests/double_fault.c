/* SPDX-License-Identifier: Apache-2.0 */
/* A fault while another is delivered: #DF with error 0 on its IST stack; benign ones nest. */
#include "guest.h"

static volatile u32 doubles;
static volatile word error, at, sp, resume;
extern u8 df_resume[], df_at[];
static void on_df(struct frame *f)
{
	doubles++;
	error = f->error;
	at = f->ip;
	sp = (word)(f + 1);
	f->ip = resume;
	f->cs = SEL_CODE;
}

void guest_main(void)
{
	irq_handle(DF, on_df);
	resume = (word)df_resume;
	/* #GP whose gate is not present gives #NP: contributory after contributory. */
	idt_set(GP, 0, SEL_CODE, 0x0e, 0);
	__asm__ volatile("mov $0x7f8, %%eax; mov %%rsp, %%rbx; df_at: mov %%eax, %%ds; df_resume: mov %%rbx, %%rsp" ::: "rax", "rbx", "memory");
	CHECK_EQ(doubles, 1);
	CHECK_EQ(error, 0);
	CHECK_EQ(sp, (word)ist_stack);
	idt_gate(GP, 0, 0);
	/* #PF whose stack is not mapped: #PF while delivering #PF. */
	extern u8 df_resume2[];
	resume = (word)df_resume2;
	__asm__ volatile("mov %%rsp, %%rbx; mov %0, %%rsp; mov (%0), %%al; df_resume2: mov %%rbx, %%rsp" : : "r"(WINDOW + 0x9000) : "rax", "rbx", "memory");
	CHECK_EQ(doubles, 2);
}
