/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The architectural state of one vcpu, the same for every engine: what a
 * snapshot holds, what moves between soft and kvm. Plain data, no pointers.
 */
#ifndef LODGE_CPU_X86_STATE_H
#define LODGE_CPU_X86_STATE_H

#include "base/compiler.h"

enum x86_gpr {
	X86_RAX, X86_RCX, X86_RDX, X86_RBX, X86_RSP, X86_RBP, X86_RSI, X86_RDI,
	X86_R8, X86_R9, X86_R10, X86_R11, X86_R12, X86_R13, X86_R14, X86_R15,
};

/* Hardware encoding order. */
enum x86_seg { X86_ES, X86_CS, X86_SS, X86_DS, X86_FS, X86_GS, X86_NSEG };

/*
 * A segment register with its hidden part. @attr is the descriptor's second
 * dword bits 8..15 in bits 0..7 (type, S, DPL, P) and bits 20..23 in bits
 * 8..11 (AVL, L, D/B, G). @limit is in bytes, granularity already applied.
 */
struct x86_segment {
	uint16_t sel;
	uint16_t attr;
	uint32_t limit;
	uint64_t base;
};
#define X86_SEG_TYPE 0x00fu
#define X86_SEG_ACCESSED 0x001u
#define X86_SEG_WRITABLE 0x002u   /* data */
#define X86_SEG_READABLE 0x002u   /* code */
#define X86_SEG_EXPAND_DOWN 0x004u /* data */
#define X86_SEG_CONFORMING 0x004u /* code */
#define X86_SEG_CODE 0x008u
#define X86_SEG_S 0x010u
#define X86_SEG_DPL_SHIFT 5
#define X86_SEG_DPL 0x060u
#define X86_SEG_P 0x080u
#define X86_SEG_AVL 0x100u
#define X86_SEG_L 0x200u
#define X86_SEG_DB 0x400u
#define X86_SEG_G 0x800u
#define X86_SEG_UNUSABLE 0x1000u /* loaded with a null selector */

struct x86_table {
	uint64_t base;
	uint32_t limit;
	uint32_t pad;
};

#define X86_FLAG_CF 0x1u
#define X86_FLAG_ONE 0x2u
#define X86_FLAG_PF 0x4u
#define X86_FLAG_AF 0x10u
#define X86_FLAG_ZF 0x40u
#define X86_FLAG_SF 0x80u
#define X86_FLAG_TF 0x100u
#define X86_FLAG_IF 0x200u
#define X86_FLAG_DF 0x400u
#define X86_FLAG_OF 0x800u
#define X86_FLAG_IOPL 0x3000u
#define X86_FLAG_NT 0x4000u
#define X86_FLAG_RF 0x10000u
#define X86_FLAG_VM 0x20000u
#define X86_FLAG_AC 0x40000u
#define X86_FLAG_VIF 0x80000u
#define X86_FLAG_VIP 0x100000u
#define X86_FLAG_ID 0x200000u
#define X86_FLAGS_ARITH (X86_FLAG_CF | X86_FLAG_PF | X86_FLAG_AF | X86_FLAG_ZF | X86_FLAG_SF | X86_FLAG_OF)

#define X86_CR0_PE 0x1u
#define X86_CR0_MP 0x2u
#define X86_CR0_EM 0x4u
#define X86_CR0_TS 0x8u
#define X86_CR0_ET 0x10u
#define X86_CR0_NE 0x20u
#define X86_CR0_WP 0x10000u
#define X86_CR0_AM 0x40000u
#define X86_CR0_NW 0x20000000u
#define X86_CR0_CD 0x40000000u
#define X86_CR0_PG 0x80000000u

#define X86_CR4_VME 0x1u
#define X86_CR4_PVI 0x2u
#define X86_CR4_TSD 0x4u
#define X86_CR4_DE 0x8u
#define X86_CR4_PSE 0x10u
#define X86_CR4_PAE 0x20u
#define X86_CR4_MCE 0x40u
#define X86_CR4_PGE 0x80u
#define X86_CR4_PCE 0x100u
#define X86_CR4_OSFXSR 0x200u
#define X86_CR4_OSXMMEXCPT 0x400u
#define X86_CR4_UMIP 0x800u
#define X86_CR4_FSGSBASE 0x10000u
#define X86_CR4_PCIDE 0x20000u
#define X86_CR4_OSXSAVE 0x40000u
#define X86_CR4_SMEP 0x100000u
#define X86_CR4_SMAP 0x200000u

#define X86_EFER_SCE 0x1u
#define X86_EFER_LME 0x100u
#define X86_EFER_LMA 0x400u
#define X86_EFER_NXE 0x800u
#define X86_EFER_FFXSR 0x4000u
#define X86_EFER_AIBRSE 0x200000u

#define X86_DR6_FIXED 0xffff0ff0u
#define X86_DR6_BD 0x2000u
#define X86_DR6_BS 0x4000u
#define X86_DR6_BT 0x8000u
#define X86_DR7_FIXED 0x400u
#define X86_DR7_GD 0x2000u

enum x86_vector {
	X86_EXC_DE = 0, X86_EXC_DB = 1, X86_EXC_NMI = 2, X86_EXC_BP = 3, X86_EXC_OF = 4, X86_EXC_BR = 5,
	X86_EXC_UD = 6, X86_EXC_NM = 7, X86_EXC_DF = 8, X86_EXC_TS = 10, X86_EXC_NP = 11, X86_EXC_SS = 12,
	X86_EXC_GP = 13, X86_EXC_PF = 14, X86_EXC_MF = 16, X86_EXC_AC = 17, X86_EXC_MC = 18, X86_EXC_XM = 19,
};

#define X86_PF_P 0x1u
#define X86_PF_W 0x2u
#define X86_PF_U 0x4u
#define X86_PF_RSVD 0x8u
#define X86_PF_I 0x10u

/* What the vcpu does when nothing is pending. */
enum x86_activity {
	X86_RUNNING,
	X86_HALTED,     /* HLT; an unmasked interrupt, NMI, INIT wakes it */
	X86_WAIT_SIPI,  /* an application processor after reset or INIT */
	X86_SHUTDOWN,   /* triple fault */
};

#define X86_MTRR_VARIABLE 8
#define X86_MTRR_FIXED 11

/* Model specific registers that are plain storage; the engines know the rest. */
struct x86_msrs {
	uint64_t efer, star, lstar, cstar, sfmask;
	uint64_t kernel_gs_base, tsc_aux;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t pat, misc_enable, spec_ctrl, debugctl;
	uint64_t mtrr_def_type, mtrr_fixed[X86_MTRR_FIXED], mtrr_base[X86_MTRR_VARIABLE], mtrr_mask[X86_MTRR_VARIABLE];
	uint64_t mcg_status, mcg_ctl, tsc_adjust;
	/* KVM paravirtual interface */
	uint64_t kvm_system_time, kvm_wall_clock, kvm_steal_time, kvm_pv_eoi, kvm_poll_control;
};

/* XSAVE standard format: legacy 512, header 64, AVX 256. XCR0 never has more than x87|SSE|AVX. */
#define X86_XSAVE_BYTES 832
#define X86_XCR0_X87 1u
#define X86_XCR0_SSE 2u
#define X86_XCR0_AVX 4u

struct x86_state {
	uint64_t gpr[16];
	uint64_t rip;
	uint64_t rflags; /* complete, bit 1 set */
	struct x86_segment seg[X86_NSEG];
	struct x86_segment ldtr, tr;
	struct x86_table gdtr, idtr;
	uint64_t cr0, cr2, cr3, cr4, xcr0;
	uint64_t dr[4], dr6, dr7;
	uint64_t pae_pdpte[4]; /* loaded with CR3 in PAE paging */
	struct x86_msrs msr;

	uint8_t activity;         /* enum x86_activity */
	uint8_t interrupt_shadow; /* 1: after STI, 2: after MOV SS / POP SS; 0 none */
	uint8_t nmi_blocked;      /* between NMI delivery and IRET */
	uint8_t nmi_pending;
	uint8_t sipi_vector;
	uint8_t bsp;
	/* an exception or interrupt whose delivery was interrupted or not begun (snapshots, hop) */
	uint8_t event_valid, event_vector, event_has_error, event_soft;
	uint32_t event_error;

	uint64_t tsc_offset; /* guest TSC = host TSC (scaled when khz differ) + offset */
	uint64_t tsc_khz;    /* guest's */

	LODGE_ALIGNED(64) uint8_t xsave[X86_XSAVE_BYTES];
};

#endif
