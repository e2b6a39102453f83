/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entry of a freestanding guest: a Multiboot 1 kernel in an ELF32 file. A
 * 64-bit guest goes on to long mode with the low 4 GiB mapped to themselves
 * by 2 MiB kernel pages; a 32-bit one stays in flat protected mode without
 * paging. Also what application processors start with, and the entry of
 * every exception.
 */
#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_CODE32 0x40
#define AP_BASE 0x8000

	.section .multiboot, "a"
	.align 4
	.long 0x1badb002, 0, -0x1badb002

	.section .bss
	.align 4096
	.globl guest_pml4
guest_pml4: .skip 4096
guest_pdpt: .skip 4096
guest_pd: .skip 4 * 4096
	.globl ap_stacks
ap_stacks: .skip 4 * 8192
stack: .skip 16384
stack_top:
	.globl kernel_entry_stack
	.skip 16384
kernel_entry_stack:
	.skip 8192
	.globl ist_stack
ist_stack:

	.text
	.code32
	.globl _start
_start:
	cli
	cld
	mov $stack_top, %esp
	lgdt gdt_pointer
#ifdef __x86_64__
	/* Page tables. */
	mov $guest_pd, %edi
	mov $0x83, %eax
	mov $2048, %ecx
1:	mov %eax, (%edi)
	movl $0, 4(%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 1b
	mov $guest_pdpt, %edi
	mov $guest_pd + 3, %eax
	mov $4, %ecx
1:	mov %eax, (%edi)
	movl $0, 4(%edi)
	add $4096, %eax
	add $8, %edi
	loop 1b
	movl $guest_pdpt + 3, guest_pml4

	mov $0x20, %eax /* PAE */
	mov %eax, %cr4
	mov $guest_pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	xor %edx, %edx
	mov $0x900, %eax /* LME, NXE */
	wrmsr
	mov $0x80010033, %eax /* PG WP NE ET MP PE */
	mov %eax, %cr0
	ljmp $SEL_CODE, $start64
	.code64
start64:
#else
	mov $0x10033, %eax
	mov %eax, %cr0
	ljmp $SEL_CODE, $1f
1:
#endif
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %fs
	mov %eax, %gs
	mov %eax, %ss
	call guest_start
1:	hlt
	jmp 1b

/* ---- exceptions ---- */

	.macro TRAP_STUB n
	.align 16
	.if \n == 8 || (\n >= 10 && \n <= 14) || \n == 17 || \n == 21 || \n == 29 || \n == 30
	.else
	push $0
	.endif
#ifdef __x86_64__
	pushq $\n
#else
	pushl $\n
#endif
	jmp trap_common
	.endm

	.globl trap_stubs
	.align 16
trap_stubs:
	.set vector, 0
	.rept 256
	TRAP_STUB vector
	.set vector, vector + 1
	.endr

trap_common:
#ifdef __x86_64__
	push %rax
	push %rcx
	push %rdx
	push %rbx
	push %rbp
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, %rdi
	mov %rsp, %rbx
	and $-16, %rsp
	cld
	call trap_entry
	mov %rbx, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rbp
	pop %rbx
	pop %rdx
	pop %rcx
	pop %rax
	add $16, %rsp
	iretq
#else
	pusha
	push %ds
	push %es
	push %fs
	push %gs
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %esp, %eax
	cld
	push %eax
	call trap_entry
	add $4, %esp
	pop %gs
	pop %fs
	pop %es
	pop %ds
	popa
	add $8, %esp
	iret
#endif

/* Go to ring 3 (or wherever the frame says); user_resume() returns from here. */
	.globl user_enter, user_resume, user_saved_sp
#ifdef __x86_64__
/* user_enter(rip, rsp, arg, rflags, cs, ss) */
user_enter:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, user_saved_sp
	push %r9
	push %rsi
	push %rcx
	push %r8
	push %rdi
	mov %rdx, %rdi
	iretq
user_resume:
	mov user_saved_sp, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret
#else
/* user_enter(const struct user_frame *) whose words are what IRET pops, 9 of them */
user_enter:
	mov 4(%esp), %eax
	push %ebx
	push %ebp
	push %esi
	push %edi
	push %ds
	push %es
	push %fs
	push %gs
	mov %esp, user_saved_sp
	mov $9, %ecx
1:	pushl -4(%eax, %ecx, 4)
	loop 1b
	testl $0x20000, 8(%esp)
	jnz 1f
	mov 16(%esp), %ecx
	mov %ecx, %ds
	mov %ecx, %es
1:	iret
user_resume:
	mov user_saved_sp, %esp
	pop %gs
	pop %fs
	pop %es
	pop %ds
	pop %edi
	pop %esi
	pop %ebp
	pop %ebx
	ret
#endif
	.bss
	.align 8
user_saved_sp: .skip 8

/* ---- application processors: copied to AP_BASE, SIPI vector 8 ---- */
#ifdef __x86_64__
	.text
	.globl ap_trampoline, ap_trampoline_end
	.code16
ap_trampoline:
	cli
	xor %ax, %ax
	mov %ax, %ds
	lgdtl gdt_pointer_low - ap_trampoline + AP_BASE
	mov $0x33, %eax
	mov %eax, %cr0
	ljmpl $SEL_CODE32, $ap32 - ap_trampoline + AP_BASE
	.code32
ap32:
	mov $SEL_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $0x20, %eax
	mov %eax, %cr4
	mov $guest_pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	xor %edx, %edx
	mov $0x900, %eax
	wrmsr
	mov $0x80010033, %eax
	mov %eax, %cr0
	ljmp $SEL_CODE, $ap64
	.align 8
gdt_pointer_low:
	.word gdt_end - guest_gdt - 1
	.long guest_gdt
ap_trampoline_end:
	.code64
ap64:
	mov $1, %edi
	lock xadd %edi, ap_started
	inc %edi
	mov %edi, %eax
	shl $13, %eax
	lea ap_stacks(%rax), %rsp
	call ap_entry
1:	hlt
	jmp 1b
	.bss
	.globl ap_started
	.align 4
ap_started: .skip 4
#endif

/* ---- segments ---- */
	.data
	.align 8
	.globl guest_gdt
guest_gdt:
	.quad 0
#ifdef __x86_64__
	.quad 0x00af9b000000ffff /* 08 kernel code 64 */
	.quad 0x00cf93000000ffff /* 10 kernel data */
	.quad 0x00cffb000000ffff /* 18 user code 32 */
	.quad 0x00cff3000000ffff /* 20 user data */
	.quad 0x00affb000000ffff /* 28 user code 64 */
	.quad 0, 0               /* 30 TSS */
	.quad 0x00cf9b000000ffff /* 40 kernel code 32 */
#else
	.quad 0x00cf9b000000ffff /* 08 kernel code */
	.quad 0x00cf93000000ffff /* 10 kernel data */
	.quad 0x00cffb000000ffff /* 18 user code */
	.quad 0x00cff3000000ffff /* 20 user data */
	.quad 0x00009b000000ffff /* 28 code 16 */
	.quad 0                  /* 30 TSS */
	.quad 0x000093000000ffff /* 38 data 16 */
	.quad 0
#endif
	.skip 16 * 8             /* 48... for the guests */
gdt_end:
gdt_pointer:
	.word gdt_end - guest_gdt - 1
	.long guest_gdt
	.long 0

	.section .note.GNU-stack, "", @progbits
