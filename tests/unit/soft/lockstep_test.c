/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Translator against interpreter: random short programs in ring 3 of a tiny
 * 64-bit machine (with I/O rights, to end by a port; HLT, met by a stray jump, faults), faults included, run by both through cpu_backend.h; then
 * every register, flag, vector register and byte of RAM must agree.
 *
 * LOCKSTEP_SEED and LOCKSTEP_CASES in the environment change what is run;
 * LOCKSTEP_OPTS is handed to the translator.
 */
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include "unit.h"


#include "audit.h"
#include "cpu/cpu_backend.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/decode.h"
#include "host/host_ops.h"

#define RAM_BYTES 0x400000u
#define TABLES 0x10000u
#define IDT 0x20000u
#define GDT 0x21000u
#define TSS 0x22000u
#define HANDLERS 0x23000u
#define FAULT_STACK 0x28000u
#define CODE 0x30000u
#define DATA 0x100000u
#define DATA_BYTES 0x4000u
#define STACK 0x180000u
#define EXIT_PORT 0xe6 /* "out e6h, al" is e6 e6: an exit at any alignment */

struct rig {
	struct guest_memory mem;
	uint8_t *ram;
	struct cpu_vm *vm;
	struct cpu_vcpu *vcpu;
	struct x86_cpu_model model;
	struct log log;
	uint32_t exit_value;
	struct x86_state out;
};

static uint64_t rig_mmio_read(void *ctx, uint64_t addr, unsigned size) { (void)ctx; (void)addr; return size == 8 ? ~0ull : (1ull << size * 8) - 1; }
static void rig_mmio_write(void *ctx, uint64_t addr, unsigned size, uint64_t v) { (void)ctx; (void)addr; (void)size; (void)v; }
static uint32_t rig_in(void *ctx, uint16_t port, unsigned size) { (void)ctx; (void)port; (void)size; return ~0u; }
static void rig_out(void *ctx, uint16_t port, unsigned size, uint32_t v)
{
	struct rig *r = ctx;

	(void)size;
	if (port == EXIT_PORT) {
		r->exit_value = v;
		cpu_backend_soft.stop(r->vcpu);
	}
}
static bool rig_pending(void *ctx) { (void)ctx; return false; }
static int rig_ack(void *ctx) { (void)ctx; return -1; }
static uint64_t rig_cr8_read(void *ctx) { (void)ctx; return 0; }
static void rig_cr8_write(void *ctx, uint64_t v) { (void)ctx; (void)v; }
static bool rig_msr_read(void *ctx, uint32_t msr, uint64_t *v) { (void)ctx; (void)msr; (void)v; return false; }
static bool rig_msr_write(void *ctx, uint32_t msr, uint64_t v) { (void)ctx; (void)msr; (void)v; return false; }
static void rig_init(void *ctx) { (void)ctx; }
static uint64_t rig_hypercall(void *ctx, uint64_t nr, const uint64_t arg[4]) { (void)ctx; (void)nr; (void)arg; return 0; }
static uint64_t rig_outside(void *ctx, enum x86_outside what) { (void)ctx; (void)what; return 42; }

static const struct x86_env_ops rig_env = {
	.mmio_read = rig_mmio_read, .mmio_write = rig_mmio_write, .port_in = rig_in, .port_out = rig_out, .intr_pending = rig_pending,
	.intr_ack = rig_ack, .cr8_read = rig_cr8_read, .cr8_write = rig_cr8_write, .apic_msr_read = rig_msr_read,
	.apic_msr_write = rig_msr_write, .apic_init = rig_init, .hypercall = rig_hypercall, .read_outside = rig_outside,
};

/* What the translator emits is looked at by Zydis, where it is installed. */
static struct audit audited;
#ifdef LODGE_AUDIT
#define AUDIT audit_translation
#else
#define AUDIT NULL
#endif

static void rig_create(struct rig *r, const char *opts)
{
	struct lodge_error err = { 0 };
	char eager[64]; /* programs are short: nothing would be warm enough to be translated */
	struct cpu_vm_config config = { .mem = &r->mem, .model = &r->model, .log = &r->log, .vcpus = 1, .soft_opts = eager, .code_cache_bytes = 8 << 20,
					.translated = AUDIT, .translated_ctx = &audited };

	snprintf(eager, sizeof(eager), "eager,%s", opts);
	struct memory_range range;

	memset(r, 0, sizeof(*r));
	r->ram = host_alloc_sparse(RAM_BYTES);
	memory_init(&r->mem, -1, r->ram, RAM_BYTES);
	range = (struct memory_range){ .base = 0, .bytes = RAM_BYTES, .read_hva = r->ram, .write_hva = r->ram, .ram_offset = 0 };
	assert_int_equal(memory_add_range(&r->mem, &range), LODGE_OK);
	if (cpu_model_build(&r->model, CPU_LEVEL_AUTO, CPU_VENDOR_AMD, CPU_SPEC_SOFT_ASSUMED, 1, 1000000, true, &err))
		fail_msg("%s", err.text);
	if (cpu_backend_soft.vm_create(&config, &r->vm, &err) || cpu_backend_soft.vcpu_create(r->vm, 0, &rig_env, r, &r->vcpu, &err))
		fail_msg("%s", err.text);
}

static void rig_destroy(struct rig *r)
{
	cpu_backend_soft.vcpu_destroy(r->vcpu);
	cpu_backend_soft.vm_destroy(r->vm);
	host_free_sparse(r->ram, RAM_BYTES);
}

static uint64_t seed;

static uint32_t rnd(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 32);
}

static uint32_t pick(uint32_t n) { return rnd() % n; }
static uint64_t rnd64(void)
{
	static const uint64_t edges[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
					  0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff };

	return pick(3) ? edges[pick(ARRAY_LEN(edges))] : (uint64_t)rnd() << 32 | rnd();
}

/* Identity map of all RAM by 4 KiB pages, but for one hole behind the data, and one page read-only. */
static void build_machine(uint8_t *ram, bool kernel)
{
	uint64_t *pml4 = (uint64_t *)(void *)(ram + TABLES), *pdpt = pml4 + 512, *pd = pdpt + 512, *pt = pd + 512;

	memset(ram, 0, RAM_BYTES);
	pml4[0] = (TABLES + 0x1000) | 7;
	pdpt[0] = (TABLES + 0x2000) | 7;
	for (unsigned i = 0; i < 2; i++) {
		pd[i] = (TABLES + 0x3000 + i * 0x1000) | 7;
		for (unsigned j = 0; j < 512; j++)
			pt[i * 512 + j] = (uint64_t)(i * 512 + j) << 12 | 7;
	}
	/* In ring 0 with SMAP all but the data belongs to the kernel. */
	for (unsigned i = 0; kernel && i < 1024; i++)
		if (i < DATA >> 12 || i >= (DATA + DATA_BYTES) >> 12)
			pt[i] &= ~4ull;
	pt[(DATA + DATA_BYTES) >> 12] = 0;
	pt[(DATA + DATA_BYTES - 0x1000) >> 12] &= ~2ull;
	for (unsigned v = 0; v < 32; v++) {
		uint8_t *g = ram + IDT + v * 16, *h = ram + HANDLERS + v * 16;

		put_le16(g, (uint16_t)(HANDLERS + v * 16));
		put_le16(g + 2, 8);
		g[4] = 1; /* IST 1 */
		g[5] = 0x8e;
		put_le16(g + 6, (HANDLERS + v * 16) >> 16);
		/* out EXIT_PORT, al ; the vector is in the page by RIP */
		h[0] = 0xe6;
		h[1] = EXIT_PORT;
		h[2] = 0xf4;
	}
	put_le64(ram + GDT + 8, 0x00af9b000000ffff);
	put_le64(ram + GDT + 16, 0x00cf93000000ffff);
	put_le64(ram + TSS + 0x24, FAULT_STACK);
}

static void initial_state(struct x86_state *s, bool kernel)
{
	struct x86_segment data = { .sel = 0x23, .attr = 0xcf3, .limit = 0xffffffff };

	s->seg[X86_CS] = (struct x86_segment){ .sel = 0x2b, .attr = 0xafb, .limit = 0xffffffff };
	s->seg[X86_SS] = s->seg[X86_DS] = s->seg[X86_ES] = s->seg[X86_FS] = s->seg[X86_GS] = data;
	s->seg[X86_FS].base = DATA + 0x800;
	s->seg[X86_GS].base = DATA + 0x1000;
	s->tr = (struct x86_segment){ .sel = 0x18, .attr = 0x8b, .limit = 0x67, .base = TSS };
	s->gdtr = (struct x86_table){ .base = GDT, .limit = 0xff };
	s->idtr = (struct x86_table){ .base = IDT, .limit = 0xfff };
	s->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_PG;
	s->cr3 = TABLES;
	s->cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT | X86_CR4_OSXSAVE;
	s->msr.efer = X86_EFER_LME | X86_EFER_LMA | X86_EFER_SCE | X86_EFER_NXE;
	if (kernel) {
		s->seg[X86_CS] = (struct x86_segment){ .sel = 8, .attr = 0xa9b, .limit = 0xffffffff };
		s->seg[X86_SS] = (struct x86_segment){ .sel = 0x10, .attr = 0xc93, .limit = 0xffffffff };
		s->cr4 |= pick(2) ? X86_CR4_SMAP : 0;
		s->msr.kernel_gs_base = DATA + 0x1800;
	}
	s->xcr0 = 7;
	s->rip = CODE;
	s->rflags = 2 | X86_FLAG_IOPL | (rnd() & X86_FLAGS_ARITH);
	if (kernel)
		s->rflags |= (pick(4) ? X86_FLAG_AC : 0) | (pick(2) ? X86_FLAG_IF : 0);
	s->activity = X86_RUNNING;
	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = pick(4) ? DATA + 0x400 + pick(DATA_BYTES - 0x800) : rnd64();
	s->gpr[X86_RSP] = STACK - 8 * pick(16);
	for (unsigned i = 32; i < 32 + 128 + 256; i++)
		if (i >= 32 + 128 || (i & 15) < 10) /* the rest of an x87 slot is reserved */
			s->xsave[i] = (uint8_t)rnd();
	put_le16(s->xsave, 0x37f);
	put_le32(s->xsave + 24, 0x1f80);
	s->xsave[512] = 7;
}

/* What the kernel uses often and the translator has templates for. */
static unsigned kernel_insn(uint8_t *p)
{
	static const uint8_t list[][4] = {
		{ 1, 0xfa }, { 1, 0xfb }, { 3, 0x0f, 0x01, 0xca }, { 3, 0x0f, 0x01, 0xcb }, { 3, 0x0f, 0x01, 0xf8 }, { 1, 0x9c },
		{ 2, 0x8c, 0xc8 }, { 3, 0x41, 0x8c, 0xda }, { 2, 0x58 }, { 3, 0x48, 0x8c, 0xe1 },
	};
	const uint8_t *one = list[pick(ARRAY_LEN(list))];

	memcpy(p, one + 1, 3);
	return one[0] == 2 && one[1] == 0x58 ? 1 : one[0];
}

/* One random instruction that both sides should survive; returns its length. */
static unsigned random_insn(uint8_t *p)
{
	for (;;) {
		unsigned n = 0;
		struct insn in;

		if (!pick(6))
			p[n++] = 0x66;
		if (!pick(10))
			p[n++] = pick(2) ? 0xf2 : 0xf3;
		if (!pick(12))
			p[n++] = 0xf0;
		if (!pick(12))
			p[n++] = pick(2) ? 0x64 : 0x65;
		if (!pick(20))
			p[n++] = 0x67;
		if (pick(12) == 0) { /* VEX */
			p[n++] = 0xc4;
			p[n++] = (uint8_t)((rnd() & 0xe0) | (1 + pick(3)));
			p[n++] = (uint8_t)rnd();
			p[n++] = (uint8_t)rnd();
		} else {
			if (pick(3))
				p[n++] = (uint8_t)(0x40 | pick(16));
			switch (pick(8)) {
			case 0: case 1: case 2:
				p[n++] = 0x0f;
				p[n++] = (uint8_t)rnd();
				break;
			case 3:
				p[n++] = 0x0f;
				p[n++] = pick(2) ? 0x38 : 0x3a;
				p[n++] = (uint8_t)rnd();
				break;
			default:
				p[n++] = (uint8_t)rnd();
			}
		}
		p[n] = (uint8_t)rnd();
		if ((p[n] & 0xc7) == 0x80)
			p[n] ^= 0xc0;
		for (unsigned i = n + 1; i < 15; i++)
			p[i] = (uint8_t)rnd();
		if (x86_decode(p, 15, X86_MODE_64, &in) != DECODE_OK)
			continue;
		/* Keep displacements near, so that most operands exist. */
		if ((in.flags & INSN_MEM) && in.base != X86_NOREG && (in.disp > 4096 || in.disp < -4096)) {
			unsigned at = in.len - in.imm_bytes - 4;

			put_le32(p + at, in.base == X86_REG_RIP ? DATA - CODE + pick(DATA_BYTES) : pick(512));
			if (x86_decode(p, 15, X86_MODE_64, &in) != DECODE_OK)
				continue;
		}
		switch (in.op) {
		case X86_OP_HLT: case X86_OP_RDTSC: case X86_OP_RDTSCP: case X86_OP_RDRAND: case X86_OP_RDSEED: case X86_OP_LGDT: case X86_OP_LIDT:
		case X86_OP_MOV_TO_CR: case X86_OP_MOV_TO_DR: case X86_OP_WRMSR: case X86_OP_LTR: case X86_OP_LLDT: case X86_OP_LMSW:
		case X86_OP_SYSCALL: case X86_OP_SYSRET: case X86_OP_SYSENTER: case X86_OP_SYSEXIT: case X86_OP_IRET: case X86_OP_RETF:
		case X86_OP_JMPF_IND: case X86_OP_CALLF_IND: case X86_OP_OUT: case X86_OP_OUTS: case X86_OP_MWAIT: case X86_OP_XSETBV:
		case X86_OP_POPF: case X86_OP_INT: case X86_OP_INT3: case X86_OP_INT1: case X86_OP_STI: case X86_OP_CLTS:
			continue;
		default:
			return in.len;
		}
	}
}

/* Programs of seeds from here on have bit tests, and repeated string instructions of a size that generated code does itself, or nearly does. */
#define STRING_SEEDS 0x100000000ull

/* movsx rcx, cx; adc eax, eax for the flags; bt [rdi + disp8], rcx, of four or eight bytes */
static unsigned bit_insns(uint8_t *p)
{
	static const uint8_t one[] = { 0x48, 0x0f, 0xbf, 0xc9, 0x11, 0xc0, 0x48, 0x0f, 0xa3, 0x4f };
	unsigned drop = !pick(3) ? 4 : 0, n = sizeof(one) - drop;

	memcpy(p, one + drop, n);
	p[0] ^= (uint8_t)(pick(2) << 3); /* of which REX.W may be missing */
	p[n - 4] ^= (uint8_t)(pick(2) << 3);
	p[n++] = (uint8_t)rnd();
	return n;
}

/* A count, perhaps a source near the destination, perhaps backwards, and REP STOS or MOVS. */
static unsigned string_insns(uint8_t *p)
{
	static const uint8_t counts[][7] = { { 3, 0x0f, 0xb6, 0xc9 }, { 6, 0x81, 0xe1, 0x0f }, { 6, 0x81, 0xe1, 0xff, 0x03 }, { 5, 0xb9, 0x00, 0x02 } };
	const uint8_t *one = counts[pick(ARRAY_LEN(counts))];
	bool down = !pick(8);
	unsigned n = one[0];

	memcpy(p, one + 1, 6);
	if (!pick(4)) { /* lea rsi, [rdi + disp8] */
		memcpy(p + n, "\x48\x8d\x77", 3);
		p[n + 3] = (uint8_t)rnd();
		n += 4;
	}
	if (!pick(4)) { /* at the start of a page: and rdi, -4096 */
		memcpy(p + n, "\x48\x81\xe7\x00\xf0\xff\xff", 7);
		n += 7;
	} else if (!pick(3)) { /* at the end of the last one that can be written: mov edi, imm32 */
		p[n] = 0xbf;
		put_le32(p + n + 1, DATA + DATA_BYTES - 0x1000 - pick(16));
		n += 5;
	}
	if (down)
		p[n++] = 0xfd;
	if (!pick(4))
		p[n++] = 0x66;
	p[n++] = pick(4) ? 0xf3 : 0xf2;
	if (pick(2))
		p[n++] = 0x48;
	p[n++] = (uint8_t)((pick(2) ? 0xaa : 0xa4) | pick(2));
	if (down)
		p[n++] = 0xfc;
	return n;
}

static void fill_program(uint8_t *code, uint8_t *data, bool kernel, bool strings)
{
	unsigned n = 0, count = 1 + pick(12);

	for (unsigned i = 0; i < count; i++)
		n += strings && !pick(3) ? (pick(4) ? string_insns : bit_insns)(code + n) : kernel && !pick(3) ? kernel_insn(code + n) : random_insn(code + n);
	code[n++] = 0xe6;
	code[n++] = EXIT_PORT;
	code[n++] = EXIT_PORT;
	/* Whoever jumps astray meets an exit, too. */
	for (unsigned i = n; i + 2 < 0x2000; i += 2) {
		code[i] = 0xe6;
		code[i + 1] = EXIT_PORT;
	}
	for (unsigned i = 0; i < DATA_BYTES; i++)
		data[i] = (uint8_t)rnd();
}

/* A program that loops for ever is stopped and not compared. */
static struct cpu_vcpu *volatile watched;
static volatile sig_atomic_t stopped;

static void on_alarm(int sig)
{
	(void)sig;
	stopped = 1;
	if (watched)
		cpu_backend_soft.stop(watched);
}

static void watch(struct cpu_vcpu *vcpu)
{
	struct itimerval t = { .it_value.tv_usec = vcpu ? 200000 : 0 };

	watched = vcpu;
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &t, NULL);
}

/* Not memcpy: a stray jump may have made code of any of it. What did not change stays translated. */
static void restore_ram(struct rig *r, const uint8_t *ram)
{
	for (unsigned at = 0; at < RAM_BYTES; at += 64) {
		while (at % 4096 == 0 && at < RAM_BYTES && !memcmp(r->ram + at, ram + at, 4096))
			at += 4096;
		if (at < RAM_BYTES && memcmp(r->ram + at, ram + at, 64))
			assert_int_equal(guest_write(&r->mem, gpa(at), ram + at, 64), LODGE_OK);
	}
}

static void rig_run(struct rig *r, const struct x86_state *start, const uint8_t *ram)
{
	struct lodge_error err = { 0 };

	restore_ram(r, ram);
	assert_int_equal(cpu_backend_soft.set_state(r->vcpu, start, &err), LODGE_OK);
	assert_int_equal(cpu_backend_soft.thread_init(r->vcpu, &err), LODGE_OK);
	watch(r->vcpu);
	if (cpu_backend_soft.run(r->vcpu, &err) == CPU_EXIT_ERROR)
		fail_msg("%s", err.text);
	watch(NULL);
	cpu_backend_soft.thread_fini(r->vcpu);
	assert_int_equal(cpu_backend_soft.get_state(r->vcpu, &r->out, &err), LODGE_OK);
}

static unsigned compare(struct rig *a, struct rig *b, const struct x86_state *start)
{
	static const char *const names[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };
	unsigned bad = 0;
	bool faulted = (a->out.rip >= HANDLERS && a->out.rip < HANDLERS + 0x1000) || a->out.activity == X86_SHUTDOWN;

	for (unsigned i = 0; i < 16; i++) {
		if (a->out.gpr[i] != b->out.gpr[i]) {
			printf("  %s: start %016lx interpreter %016lx translator %016lx\n", names[i], start->gpr[i], a->out.gpr[i], b->out.gpr[i]);
			bad++;
		}
	}
	if (a->out.rip != b->out.rip) {
		printf("  rip: interpreter %lx translator %lx\n", a->out.rip, b->out.rip);
		bad++;
	}
	if (faulted) { /* flags about to be overwritten may be stale in a fault's frame (docs/SOFT-CPU.md) */
		for (unsigned off = 8; off <= 24; off += 8) {
			uint8_t *x = a->ram + FAULT_STACK - off, *y = b->ram + FAULT_STACK - off;

			if (get_le64(x) != get_le64(y) && !((get_le64(x) ^ get_le64(y)) & ~(uint64_t)X86_FLAGS_ARITH))
				put_le64(y, get_le64(x));
		}
	} else if (a->out.rflags != b->out.rflags) {
		printf("  rflags: start %lx interpreter %lx translator %lx\n", start->rflags, a->out.rflags, b->out.rflags);
		bad++;
	}
	if (memcmp(a->out.xsave, b->out.xsave, 6) || memcmp(a->out.xsave + 24, b->out.xsave + 24, 4) ||
	    memcmp(a->out.xsave + 32, b->out.xsave + 32, 384) || memcmp(a->out.xsave + 576, b->out.xsave + 576, 256)) {
		for (unsigned i = 0; i < X86_XSAVE_BYTES; i++)
			if (a->out.xsave[i] != b->out.xsave[i])
				printf("  xsave[%u]: interpreter %02x translator %02x\n", i, a->out.xsave[i], b->out.xsave[i]);
		bad++;
	}
	for (unsigned i = 0; i < RAM_BYTES; i++) {
		while (i % 4096 == 0 && i < RAM_BYTES && !memcmp(a->ram + i, b->ram + i, 4096))
			i += 4096;
		if (i == RAM_BYTES)
			break;
		/* accessed and dirty bits may differ in when, not whether, for what was really used */
		if (a->ram[i] != b->ram[i] && !(i >= TABLES && i < TABLES + 0x5000)) {
			printf("  ram[%x]: interpreter %02x translator %02x\n", i, a->ram[i], b->ram[i]);
			if (++bad > 8)
				break;
		}
	}
	return bad;
}

static void print_code(const uint8_t *code)
{
	unsigned off = 0;
	struct insn in;

	while (code[off] != 0xe6 && x86_decode(code + off, 15, X86_MODE_64, &in) == DECODE_OK) {
		printf("  %5x: %-10s", CODE + off, x86_op_info(in.op)->name);
		for (unsigned i = 0; i < in.len; i++)
			printf(" %02x", code[off + i]);
		printf("\n");
		off += in.len;
	}
}

/* A program that wrote to its own page tables depends on what the TLB still held. */
static bool tables_changed(const struct rig *r, const uint8_t *ram)
{
	for (unsigned at = TABLES; at < TABLES + 0x5000; at += 8)
		if ((get_le64(r->ram + at) ^ get_le64(ram + at)) & ~0x60ull)
			return true;
	return false;
}

static unsigned run_cases(const char *opts, uint64_t first_seed, unsigned cases)
{
	static struct rig interp, soft;
	uint8_t *ram = malloc(RAM_BYTES);
	unsigned failures = 0;

	rig_create(&interp, "interp");
	rig_create(&soft, opts);
	for (unsigned i = 0; i < cases && failures < 10; i++) {
		struct x86_state start;
		struct lodge_error err;
		uint64_t this_seed = first_seed + i;
		bool bad, kernel;

		seed = this_seed * 0x9e3779b97f4a7c15u;
		rnd();
		assert_int_equal(cpu_backend_soft.get_state(interp.vcpu, &start, &err), LODGE_OK);
		memset(&start.xsave, 0, sizeof(start.xsave));
		kernel = !pick(3);
		build_machine(ram, kernel);
		initial_state(&start, kernel);
		fill_program(ram + CODE, ram + DATA, kernel, this_seed >= STRING_SEEDS);
		if (getenv("LOCKSTEP_VERBOSE")) {
			printf("seed %lu\n", this_seed);
			print_code(ram + CODE);
			fflush(stdout);
		}
		stopped = 0;
		rig_run(&interp, &start, ram);
		rig_run(&soft, &start, ram);
		stopped |= tables_changed(&interp, ram);
		bad = !stopped && compare(&interp, &soft, &start);
		if (!stopped && !bad) { /* once more, with every link and table filled */
			rig_run(&soft, &start, ram);
			bad = !stopped && compare(&interp, &soft, &start);
		}
		if (bad) {
			printf("seed %lu:\n", this_seed);
			print_code(ram + CODE);
			failures++;
		}
	}
	rig_destroy(&soft);
	rig_destroy(&interp);
	free(ram);
	return failures;
}

static uint64_t env_number(const char *name, uint64_t fallback)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : fallback;
}

static void run_each_option(void)
{
	static const char *const opts[] = { "nolink", "noibtc", "notlb", "noflags", "oneinsn", "nonative", "nopext", "nogroup", "nostring", "nobits", "chaos" };

	for (unsigned i = 0; i < ARRAY_LEN(opts); i++) {
		assert_int_equal(run_cases(opts[i], 100000 + i * 1000, (unsigned)env_number("LOCKSTEP_CASES", 100)), 0);
		assert_int_equal(run_cases(opts[i], STRING_SEEDS + 100000 + i * 1000, (unsigned)env_number("LOCKSTEP_CASES", 30)), 0);
	}
}

static void test_random_programs(void **state)
{
	const char *opts = getenv("LOCKSTEP_OPTS");

	(void)state;
	/* One test for all: cmocka takes the fault handlers away between tests. */
	assert_int_equal(run_cases(opts ? opts : "", env_number("LOCKSTEP_SEED", 1), (unsigned)env_number("LOCKSTEP_CASES", 1500)), 0);
	if (!opts) {
		assert_int_equal(run_cases("", 20855, 1), 0); /* a jump to ~0 matched an empty entry of the branch table */
		assert_int_equal(run_cases("", STRING_SEEDS, (unsigned)env_number("LOCKSTEP_CASES", 1000)), 0);
		run_each_option();
	}
}

/* After the programs: everything that they were translated to was allowed, and the audit knows what is not. */
static void test_audit(void **state)
{
#ifdef LODGE_AUDIT
	static const uint8_t bad[][8] = {
		{ 0x0f, 0x05 }, { 0x0f, 0x34 }, { 0xcd, 0x80 }, { 0xcc }, { 0xe6, 1 }, { 0xec }, { 0x0f, 0x30 }, { 0x0f, 0x32 }, { 0x0f, 0x01, 0xef },
		{ 0x0f, 0x22, 0xc0 }, { 0x8e, 0xe8 }, { 0xf3, 0x48, 0x0f, 0xae, 0xd8 }, { 0x64, 0x49, 0x8b, 0x02 }, { 0x48, 0x8b, 0x03 }, { 0xf4 },
		{ 0xf3, 0x48, 0xa5 }, { 0xff, 0x28 }, { 0x0f, 0xa2 }, { 0x0f, 0x0b }, { 0x9d },
	};
	static const uint8_t good[][8] = { { 0x49, 0x8b, 0x02 }, { 0x65, 0x49, 0x8b, 0x03 }, { 0x48, 0x8d, 0x03 }, { 0xc3 }, { 0x90 } };

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		if (audit_allows(bad[i], sizeof(bad[i])))
			fail_msg("the audit allows %02x %02x %02x", bad[i][0], bad[i][1], bad[i][2]);
	for (unsigned i = 0; i < ARRAY_LEN(good); i++)
		assert_true(audit_allows(good[i], sizeof(good[i])));
	printf("audit: %lu blocks, %lu host instructions, %lu refused\n", audited.blocks, audited.insns, audited.refused);
	assert_true(audited.blocks > 1000);
	assert_int_equal(audited.refused, 0);
#else
	unit_skip("built without Zydis, which the audit decodes with; scripts/setup installs it");
#endif
	(void)state;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_programs), cmocka_unit_test(test_audit) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
