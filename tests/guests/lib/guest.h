/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What freestanding guests have: checks that end the run, exceptions that can
 * be expected, ring 3, pages to map, the interrupt controllers and more CPUs.
 *
 * A guest is one guest_main(), which returns when all is well. Exit status:
 * 0 is written to the exit port for a pass, the number of the failed check
 * otherwise; EXIT_UNEXPECTED for an exception that nobody expected.
 */
#ifndef GUEST_H
#define GUEST_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word; /* a general register */

#define EXIT_PORT 0xf4
#define EXIT_UNEXPECTED 126
#define EXIT_CHECK_MAX 125

#define DE 0u
#define DB 1u
#define NMI 2u
#define BP 3u
#define OF 4u
#define BR 5u
#define UD 6u
#define NM 7u
#define DF 8u
#define TS 10u
#define NP 11u
#define SS 12u
#define GP 13u
#define PF 14u
#define MF 16u
#define AC 17u
#define XM 19u
#define NO_TRAP 0xffffu

#define PF_P 1u
#define PF_W 2u
#define PF_U 4u
#define PF_R 8u
#define PF_I 16u

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_USER_CODE32 0x1b
#define SEL_USER_DATA 0x23
#define SEL_USER_CODE64 0x2b
#define SEL_TSS 0x30
#define SEL_SPARE 0x48 /* 16 descriptors for the guest */

void guest_main(void);

/* ---- output and the end ---- */
void print(const char *s);
void print_hex(u64 v);
void guest_exit(u32 code) __attribute__((noreturn));
void guest_check(int ok, int line, const char *what);
void guest_check_equal(u64 got, u64 want, int line, const char *what);
#define CHECK(c) guest_check(!!(c), __LINE__, #c)
#define CHECK_EQ(got, want) guest_check_equal((u64)(got), (u64)(want), __LINE__, #got " == " #want)

/* ---- exceptions ---- */
struct frame {
#ifdef __x86_64__
	word r15, r14, r13, r12, r11, r10, r9, r8, di, si, bp, bx, dx, cx, ax;
	word vector, error, ip, cs, flags, sp, ss;
#else
	word gs, fs, es, ds, di, si, bp, sp_pusha, bx, dx, cx, ax;
	word vector, error, ip, cs, flags, sp, ss, v86_es, v86_ds, v86_fs, v86_gs;
#endif
};

/* The last exception that was expected, or that ring 3 raised. */
struct trap {
	u32 vector;
	u32 count;
	word cr2;
	struct frame f;
};
extern volatile struct trap trap;
extern volatile word trap_fixup;

#ifdef __x86_64__
#define W_ "q"
#else
#define W_ "l"
#endif
/*
 * Run one instruction that may fault; gives the vector or NO_TRAP. @... are the
 * operands as in asm, without the first colon. trap.f.ip is the faulting address, TRY_IP the instruction's.
 */
#define TRY(insn, ...)                                                                                                             \
	({                                                                                                                         \
		trap.vector = NO_TRAP;                                                                                             \
		__asm__ volatile("mov" W_ " $98f, try_ip\n mov" W_ " $99f, trap_fixup\n98: " insn "\n99: mov" W_ " $0, trap_fixup" \
				 : __VA_ARGS__);                                                                                   \
		trap.vector;                                                                                                       \
	})
extern volatile word try_ip;

/* A fault: which, with what error code, exactly at the instruction. */
#define CHECK_FAULT(vec, err)                                                              \
	do {                                                                               \
		guest_check_equal(trap.vector, (vec), __LINE__, "vector == " #vec);        \
		guest_check_equal(trap.f.error, (err), __LINE__, "error code == " #err);   \
		guest_check_equal(trap.f.ip, try_ip, __LINE__, "fault at the instruction"); \
	} while (0)
#define CHECK_PF(address, err)                                                         \
	do {                                                                           \
		CHECK_FAULT(PF, err);                                                  \
		guest_check_equal(trap.cr2, (word)(address), __LINE__, "CR2 == " #address); \
	} while (0)
#define CHECK_NO_TRAP() guest_check_equal(trap.vector, NO_TRAP, __LINE__, "no exception")

/* Handle @vector with @fn instead of recording it; NULL: record again. */
void irq_handle(unsigned vector, void (*fn)(struct frame *f));
/* Replace a gate: DPL for INT n from ring 3, IST (64-bit). */
void idt_gate(unsigned vector, unsigned dpl, unsigned ist);
void idt_set(unsigned vector, word handler, u16 sel, unsigned type_dpl_p, unsigned ist);

/* ---- ring 3 ---- */
/* Code to be copied to where ring 3 can run it: position independent. */
#define CODE(name, text)                                                                                                                \
	__asm__(".pushsection .rodata\n.globl " #name ", " #name "_end\n" #name ":\n" text "\n" #name "_end:\n .byte 0\n .popsection"); \
	extern const u8 name[], name##_end[]
/* Run @name in ring 3 until it raises an exception (`int $0x80` to end); gives the vector. */
#define USER(name, arg) user_run(name, name##_end, (word)(arg), 0x2)
#define USER_FLAGS(name, arg, flags) user_run(name, name##_end, (word)(arg), flags)
u32 user_run(const u8 *code, const u8 *end, word arg, word flags);
#define USER_END "int $0x80\n"
#ifdef __x86_64__
void user_enter(word ip, word sp, word arg, word flags, word cs, word ss);
#else
void user_enter(const u32 frame[9]);
#endif
void user_resume(void) __attribute__((noreturn));
extern u8 kernel_entry_stack[], ist_stack[];
extern u64 guest_gdt[];
extern u8 guest_end[];
u64 descriptor(u32 base, u32 limit, u32 access, u32 flags);

/* ---- memory ---- */
void *page_alloc(void); /* 4 KiB, zeroed, identity mapped */
void *memory_fill(void *to, int byte, word n);
void *memory_copy(void *to, const void *from, word n);

#ifdef __x86_64__
/* The window: 1024 pages of 4 KiB from WINDOW on, mapped at will. Parts above WINDOW_FREE belong to ring 3. */
#define WINDOW 0x8000000000ull
#define WINDOW_PAGES 1024u
#define WINDOW_USER_CODE (WINDOW + 1000 * 4096ull)
#define WINDOW_USER_STACK (WINDOW + 1010 * 4096ull)
#define PTE_P 0x1ull
#define PTE_W 0x2ull
#define PTE_U 0x4ull
#define PTE_A 0x20ull
#define PTE_D 0x40ull
#define PTE_PS 0x80ull
#define PTE_G 0x100ull
#define PTE_NX (1ull << 63)
extern u64 guest_pml4[512];
extern u64 window_pdpt[512], window_pd[512], window_pt[WINDOW_PAGES];
static inline volatile u64 *window_pte(u64 va) { return &window_pt[(va - WINDOW) / 4096]; }
/* Map and INVLPG. @pa a page_alloc()ed page. */
void window_map(u64 va, void *pa, u64 flags);
#endif

/* ---- instructions ---- */
static inline void out8(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void out32(u16 port, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 in8(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u64 rdtsc(void) { u32 a, d; __asm__ volatile("rdtsc" : "=a"(a), "=d"(d)); return (u64)d << 32 | a; }
static inline u64 rdmsr(u32 m) { u32 a, d; __asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(m)); return (u64)d << 32 | a; }
static inline void wrmsr(u32 m, u64 v) { __asm__ volatile("wrmsr" : : "c"(m), "a"((u32)v), "d"((u32)(v >> 32)) : "memory"); }
struct cpuid { u32 a, b, c, d; };
static inline struct cpuid cpuid(u32 leaf, u32 sub)
{
	struct cpuid r;

	__asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "0"(leaf), "2"(sub));
	return r;
}
#define READ_CR(n) ({ word v_; __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v_)); v_; })
#define WRITE_CR(n, v) __asm__ volatile("mov %0, %%cr" #n : : "r"((word)(v)) : "memory")
#define READ_DR(n) ({ word v_; __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v_)); v_; })
#define WRITE_DR(n, v) __asm__ volatile("mov %0, %%dr" #n : : "r"((word)(v)) : "memory")
static inline void invlpg(word va) { __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory"); }
static inline word flags_read(void) { word f; __asm__ volatile("pushf; pop %0" : "=r"(f)); return f; }
static inline void flags_write(word f) { __asm__ volatile("push %0; popf" : : "r"(f) : "memory", "cc"); }
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void sti_hlt(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }
static inline void pause(void) { __asm__ volatile("pause" : : : "memory"); }

#define CR0_MP 0x2u
#define CR0_EM 0x4u
#define CR0_TS 0x8u
#define CR0_NE 0x20u
#define CR0_WP 0x10000u
#define CR0_AM 0x40000u
#define CR0_PG 0x80000000u
#define CR4_VME 0x1u
#define CR4_DE 0x8u
#define CR4_PSE 0x10u
#define CR4_PAE 0x20u
#define CR4_PGE 0x80u
#define CR4_OSFXSR 0x200u
#define CR4_OSXMMEXCPT 0x400u
#define CR4_UMIP 0x800u
#define CR4_FSGSBASE 0x10000u
#define CR4_PCIDE 0x20000u
#define CR4_OSXSAVE 0x40000u
#define CR4_SMEP 0x100000u
#define CR4_SMAP 0x200000u
#define FLAG_TF 0x100u
#define FLAG_IF 0x200u
#define FLAG_OF 0x800u
#define FLAG_NT 0x4000u
#define FLAG_RF 0x10000u
#define FLAG_VM 0x20000u
#define FLAG_AC 0x40000u
#define EFER 0xc0000080u

/* End with a pass, saying so, where the CPU lacks what the guest is about. */
void guest_skip(const char *what) __attribute__((noreturn));

/* ---- interrupts ---- */
#define LAPIC_ID 0x20u
#define LAPIC_TPR 0x80u
#define LAPIC_EOI 0xb0u
#define LAPIC_SVR 0xf0u
#define LAPIC_ISR 0x100u
#define LAPIC_IRR 0x200u
#define LAPIC_ICR 0x300u
#define LAPIC_ICR_HIGH 0x310u
#define LAPIC_LVT_TIMER 0x320u
#define LAPIC_LVT_LINT0 0x350u
#define LAPIC_TIMER_INIT 0x380u
#define LAPIC_TIMER_NOW 0x390u
#define LAPIC_TIMER_DIVIDE 0x3e0u
static inline u32 lapic_read(u32 reg) { return *(volatile u32 *)(word)(0xfee00000u + reg); }
static inline void lapic_write(u32 reg, u32 v) { *(volatile u32 *)(word)(0xfee00000u + reg) = v; }
static inline void lapic_eoi(void) { lapic_write(LAPIC_EOI, 0); }
void lapic_enable(void);
void ipi_send(unsigned apic_id, u32 icr_low);
void lapic_timer(u32 lvt, u32 count); /* divide by 1 */
u32 ioapic_read(u32 reg);
void ioapic_route(unsigned pin, u32 low, unsigned apic_id);
void pic_init(u8 mask_low, u8 mask_high); /* vectors 0x20.. and 0x28.. */
void pit_start(unsigned mode, u16 count);
/* Spin or halt until @counter reaches @want; false after some seconds. */
int wait_for(volatile u32 *counter, u32 want);

#ifdef __x86_64__
/* Start CPUs 1..n-1; each runs fn(index), then halts for ever. */
void smp_start(unsigned n, void (*fn)(unsigned cpu));
#endif

#endif
