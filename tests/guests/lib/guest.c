/* SPDX-License-Identifier: Apache-2.0 */
/* The guests' common part: start, checks, exceptions, ring 3, memory. */
#include "guest.h"

volatile struct trap trap;
volatile word trap_fixup, try_ip;
extern u8 trap_stubs[];
static void (*handlers[256])(struct frame *f);
static unsigned checks;

void print(const char *s)
{
	for (; *s; s++) {
		for (unsigned spins = 0; !(in8(0x3fd) & 0x20) && spins < 100000; spins++)
			;
		out8(0x3f8, (u8)*s);
	}
}

void print_hex(u64 v)
{
	char s[19];
	unsigned i = 18;

	s[i] = 0;
	do {
		s[--i] = "0123456789abcdef"[v & 15];
		v >>= 4;
	} while (v);
	s[--i] = 'x';
	s[--i] = '0';
	print(s + i);
}

/* Bochs has no such port: tests/guests/run-bochs reads this. It has 0xe9, and a port to switch it off. */
static void exit_bochs(u32 code)
{
	if (in8(0xe9) != 0xe9)
		return;
	print("exit ");
	print_hex(code);
	print("\n");
	while (!(in8(0x3fd) & 0x40))
		; /* the last bytes are on their way */
	for (const char *s = "Shutdown"; *s; s++)
		out8(0x8900, (u8)*s);
}

void guest_exit(u32 code)
{
	for (;;) {
		out32(EXIT_PORT, code);
		exit_bochs(code);
		cli();
		__asm__ volatile("hlt");
	}
}

void guest_skip(const char *what)
{
	print("skip: ");
	print(what);
	print("\n");
	guest_exit(0);
}

static void fail(int line, const char *what)
{
	print("line ");
	char s[12];
	unsigned i = 11;

	s[i] = 0;
	do {
		s[--i] = (char)('0' + line % 10);
		line /= 10;
	} while (line);
	print(s + i);
	print(": ");
	print(what);
}

void guest_check(int ok, int line, const char *what)
{
	checks++;
	if (ok)
		return;
	fail(line, what);
	print(" failed\n");
	guest_exit(checks < EXIT_CHECK_MAX ? checks : EXIT_CHECK_MAX);
}

void guest_check_equal(u64 got, u64 want, int line, const char *what)
{
	checks++;
	if (got == want)
		return;
	fail(line, what);
	print(": ");
	print_hex(got);
	print(", not ");
	print_hex(want);
	print("\n");
	guest_exit(checks < EXIT_CHECK_MAX ? checks : EXIT_CHECK_MAX);
}

/* ---- exceptions ---- */

#ifdef __x86_64__
struct gate { u16 offset0, sel, attr, offset1; u32 offset2, zero; };
struct tss { u32 pad; u64 sp[3], pad1, ist[7], pad2; u16 pad3, io_map; u8 io[33]; } __attribute__((packed));
#else
struct gate { u16 offset0, sel, attr, offset1; };
struct tss { u32 link, sp0, ss0, rest[22]; u16 trap, io_map; u8 io[33]; } __attribute__((packed));
#endif
static struct gate idt[256] __attribute__((aligned(16)));
struct tss guest_tss;

void idt_set(unsigned vector, word handler, u16 sel, unsigned type_dpl_p, unsigned ist)
{
	struct gate g = { .offset0 = (u16)handler, .sel = sel, .attr = (u16)(type_dpl_p << 8 | ist), .offset1 = (u16)(handler >> 16) };

#ifdef __x86_64__
	g.offset2 = (u32)(handler >> 32);
#endif
	idt[vector] = g;
}

void idt_gate(unsigned vector, unsigned dpl, unsigned ist)
{
	idt_set(vector, (word)trap_stubs + 16 * vector, SEL_CODE, 0x8e | dpl << 5, ist);
}

void irq_handle(unsigned vector, void (*fn)(struct frame *f))
{
	handlers[vector] = fn;
}

void trap_entry(struct frame *f);
void trap_entry(struct frame *f)
{
	unsigned vector = (unsigned)f->vector & 0xff;

	if (handlers[vector]) {
		handlers[vector](f);
		return;
	}
	trap.cr2 = READ_CR(2);
	memory_copy((void *)&trap.f, f, sizeof *f);
	trap.vector = vector;
	trap.count++;
	if ((f->cs & 3) == 3 || f->flags & FLAG_VM)
		user_resume();
	if (trap_fixup) {
		f->ip = trap_fixup;
		trap_fixup = 0;
		return;
	}
	print("exception ");
	print_hex(vector);
	print(" error ");
	print_hex(f->error);
	print(" ip ");
	print_hex(f->ip);
	print(" cr2 ");
	print_hex(READ_CR(2));
	print(" flags ");
	print_hex(f->flags);
	print("\n");
	guest_exit(EXIT_UNEXPECTED);
}

/* ---- segments, ring 3 ---- */

u64 descriptor(u32 base, u32 limit, u32 access, u32 flags)
{
	return (u64)(limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 | (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 |
	       (u64)(base >> 24) << 56;
}

static void idt_load(void)
{
	struct { u16 limit; word base; } __attribute__((packed)) p = { sizeof idt - 1, (word)idt };

	__asm__ volatile("lidt %0" : : "m"(p));
}

static void tss_init(void)
{
	memory_fill(guest_tss.io, 0xff, sizeof guest_tss.io);
	guest_tss.io_map = (u16)((word)guest_tss.io - (word)&guest_tss);
	guest_gdt[SEL_TSS / 8] = descriptor((u32)(word)&guest_tss, sizeof guest_tss - 1, 0x89, 0);
#ifdef __x86_64__
	guest_tss.sp[0] = (word)kernel_entry_stack;
	guest_tss.ist[0] = (word)ist_stack;
#else
	guest_tss.sp0 = (word)kernel_entry_stack;
	guest_tss.ss0 = SEL_DATA;
#endif
	__asm__ volatile("ltr %w0" : : "r"(SEL_TSS));
}

u32 user_run(const u8 *code, const u8 *end, word arg, word flags)
{
	static u8 *page, *stack;
	static const u8 *copied;

	if (!page) {
		page = page_alloc();
		stack = page_alloc();
	}
	/* Writing code time and again may change how it is run. */
	if (code != copied)
		memory_copy(page, code, (word)(end - code));
	copied = code;
	trap.vector = NO_TRAP;
#ifdef __x86_64__
	if (!*window_pte(WINDOW_USER_CODE)) {
		window_map(WINDOW_USER_CODE, page, PTE_P | PTE_U | PTE_W);
		window_map(WINDOW_USER_STACK, stack, PTE_P | PTE_U | PTE_W | PTE_NX);
	}
	user_enter(WINDOW_USER_CODE, WINDOW_USER_STACK + 4096, arg, flags, SEL_USER_CODE64, SEL_USER_DATA);
#else
	word *top = (word *)(stack + 4092);

	*top = arg; /* on its stack */
	user_enter((u32[9]){ (u32)page, SEL_USER_CODE32, flags, (u32)top, SEL_USER_DATA, 0, 0, 0, 0 });
#endif
	return trap.vector;
}

/* ---- memory ---- */

void *memory_fill(void *to, int byte, word n)
{
	u8 *p = to;

	__asm__ volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(byte) : "memory");
	return to;
}

void *memory_copy(void *to, const void *from, word n)
{
	void *p = to;

	__asm__ volatile("rep movsb" : "+D"(p), "+S"(from), "+c"(n) : : "memory");
	return to;
}

/* The compiler calls these for plain C. */
void *memset(void *to, int byte, word n);
void *memset(void *to, int byte, word n) { return memory_fill(to, byte, n); }
void *memcpy(void *to, const void *from, word n);
void *memcpy(void *to, const void *from, word n) { return memory_copy(to, from, n); }

void *page_alloc(void)
{
	static u8 *next;

	if (!next)
		next = (u8 *)0x1000000;
	next += 4096;
	return memory_fill(next - 4096, 0, 4096);
}

#ifdef __x86_64__
u64 window_pdpt[512] __attribute__((aligned(4096))), window_pd[512] __attribute__((aligned(4096)));
u64 window_pt[WINDOW_PAGES] __attribute__((aligned(4096)));

static void window_init(void)
{
	window_pd[0] = (word)window_pt | PTE_P | PTE_W | PTE_U;
	window_pd[1] = (word)&window_pt[512] | PTE_P | PTE_W | PTE_U;
	window_pdpt[0] = (word)window_pd | PTE_P | PTE_W | PTE_U;
	guest_pml4[1] = (word)window_pdpt | PTE_P | PTE_W | PTE_U;
}

void window_map(u64 va, void *pa, u64 flags)
{
	*window_pte(va) = (word)pa | flags;
	invlpg(va);
}
#endif

#ifdef __x86_64__
static void (*ap_main)(unsigned cpu);
extern volatile u32 ap_started;
extern u8 ap_trampoline[], ap_trampoline_end[];

void ap_entry(unsigned cpu);
void ap_entry(unsigned cpu)
{
	idt_load();
	lapic_write(LAPIC_SVR, 0x1ff);
	ap_main(cpu);
	for (;;)
		__asm__ volatile("hlt");
}

static void spin(u64 cycles)
{
	u64 start = rdtsc();

	while (rdtsc() - start < cycles)
		pause();
}

void smp_start(unsigned n, void (*fn)(unsigned cpu))
{
	ap_main = fn;
	memory_copy((void *)0x8000, ap_trampoline, (word)(ap_trampoline_end - ap_trampoline));
	lapic_enable();
	lapic_write(LAPIC_ICR, 0xc4500); /* INIT, all but self */
	spin(20000000);
	for (unsigned i = 0; i < 2 && ap_started < n - 1; i++) {
		lapic_write(LAPIC_ICR, 0xc4608); /* start-up at 0x8000 */
		spin(4000000);
	}
	CHECK(wait_for(&ap_started, n - 1));
}
#endif

void guest_start(void);
void guest_start(void)
{
	for (unsigned i = 0; i < 256; i++)
		idt_gate(i, 0, 0);
	idt_gate(0x80, 3, 0);
	idt_load();
	tss_init();
#ifdef __x86_64__
	window_init();
	idt_gate(DF, 0, 1);
#endif
	pic_init(0xff, 0xff);
	guest_main();
	guest_exit(0);
}
