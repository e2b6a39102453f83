/* SPDX-License-Identifier: Apache-2.0 */
/* Do two results agree, and if not, what to show. */
#ifdef DIFF_ZYDIS
#include <Zydis/Zydis.h>
#endif
#include "diff.h"

#define FLAGS (X86_FLAGS_ARITH | X86_FLAG_DF | X86_FLAG_AC | X86_FLAG_ID)

static const char *const gpr_name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					   "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

struct judge {
	const struct diff_case *c;
	const char *name;
	FILE *out;
	bool same;
};

static void differ(struct judge *j, const char *what, uint64_t host, uint64_t engine, uint64_t before)
{
	j->same = false;
	if (j->out)
		fprintf(j->out, "  %-8s host %016llx  %s %016llx  before %016llx\n", what, (unsigned long long)host, j->name,
			(unsigned long long)engine, (unsigned long long)before);
}

static void bytes_differ(struct judge *j, const char *what, unsigned n, const uint8_t *host, const uint8_t *engine, const uint8_t *before,
			 unsigned len)
{
	if (!memcmp(host, engine, len))
		return;
	j->same = false;
	if (!j->out)
		return;
	for (unsigned row = 0; row < 3; row++) {
		const uint8_t *b = row == 0 ? host : row == 1 ? engine : before;

		fprintf(j->out, "  %s%-3u %-12s", what, n, row == 0 ? "host" : row == 1 ? j->name : "before");
		for (unsigned i = len; i-- > 0;)
			fprintf(j->out, "%02x", b[i]);
		fprintf(j->out, "\n");
	}
}

static void compare_vectors(struct judge *j, const uint8_t *host, const uint8_t *engine)
{
	const uint8_t *before = j->c->regs.xsave;

	if (get_le16(host + XSAVE_FCW) != get_le16(engine + XSAVE_FCW))
		differ(j, "fcw", get_le16(host + XSAVE_FCW), get_le16(engine + XSAVE_FCW), get_le16(before + XSAVE_FCW));
	if (get_le16(host + XSAVE_FSW) != get_le16(engine + XSAVE_FSW))
		differ(j, "fsw", get_le16(host + XSAVE_FSW), get_le16(engine + XSAVE_FSW), get_le16(before + XSAVE_FSW));
	if (host[XSAVE_FTW] != engine[XSAVE_FTW])
		differ(j, "ftw", host[XSAVE_FTW], engine[XSAVE_FTW], before[XSAVE_FTW]);
	if (get_le32(host + XSAVE_MXCSR) != get_le32(engine + XSAVE_MXCSR))
		differ(j, "mxcsr", get_le32(host + XSAVE_MXCSR), get_le32(engine + XSAVE_MXCSR), get_le32(before + XSAVE_MXCSR));
	for (unsigned i = 0; i < 8; i++)
		bytes_differ(j, "st", i, host + XSAVE_ST + 16 * i, engine + XSAVE_ST + 16 * i, before + XSAVE_ST + 16 * i, 10);
	for (unsigned i = 0; i < 16; i++)
		bytes_differ(j, "xmm", i, host + XSAVE_XMM + 16 * i, engine + XSAVE_XMM + 16 * i, before + XSAVE_XMM + 16 * i, 16);
	for (unsigned i = 0; i < 16; i++)
		bytes_differ(j, "ymmh", i, host + XSAVE_YMM + 16 * i, engine + XSAVE_YMM + 16 * i, before + XSAVE_YMM + 16 * i, 16);
}

/* What is not architecture, or free: last-instruction pointers and MXCSR_MASK in save areas; decimal instructions' undefined flags. */
struct tolerance {
	uint64_t flags;
	bool registers;    /* POPA that faults may have loaded some */
	bool cr2_in_page;  /* long operands may be probed at their end first */
	bool area;         /* a save area of the given form was written at @offset of the data */
	unsigned offset;
	uint16_t op, opsize;
};

static void tolerate_insn(struct tolerance *t, const struct diff_case *c, const struct insn *insn)
{
	uint64_t ea;

	if (insn->op >= X86_OP_DAA && insn->op <= X86_OP_AAD)
		t->flags |= x86_op_info(insn->op)->flags_undef;
	if (insn->op == X86_OP_POPA)
		t->registers = true;
	if (insn->op >= X86_OP_FXSAVE && insn->op <= X86_OP_FRSTOR)
		t->cr2_in_page = true;
	switch (insn->op) {
	case X86_OP_FXSAVE: case X86_OP_XSAVE: case X86_OP_XSAVEOPT: case X86_OP_XSAVEC: case X86_OP_FNSTENV: case X86_OP_FNSAVE:
		break;
	default:
		return;
	}
	ea = (uint64_t)insn->disp + (insn->base < 16 ? c->regs.gpr[insn->base] : 0) + (insn->index < 16 ? c->regs.gpr[insn->index] << insn->scale : 0);
	if (insn->base == X86_REG_RIP)
		ea += c->regs.rip + insn->len;
	if (insn->addrsize != 8)
		ea = insn->addrsize == 4 ? (uint32_t)ea : (uint16_t)ea;
	if (c->mode == X86_MODE_64 && insn->seg >= X86_FS)
		ea += insn->seg == X86_FS ? c->regs.fs_base : c->regs.gs_base;
	t->area = true;
	t->offset = (unsigned)(ea - DIFF_DATA);
	t->op = insn->op;
	t->opsize = insn->opsize;
}

static void forget_bytes(struct diff_memory *m, unsigned offset, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++)
		if (offset + i < DIFF_DATA_BYTES)
			m->data[offset + i] = 0;
}

static void tolerate_memory(const struct tolerance *t, struct diff_memory *m)
{
	if (!t->area)
		return;
	if (t->op == X86_OP_FNSTENV || t->op == X86_OP_FNSAVE) {
		forget_bytes(m, t->offset, t->opsize == 2 ? 6 : 12, t->opsize == 2 ? 14 : 28);
		return;
	}
	forget_bytes(m, t->offset, XSAVE_FOP, XSAVE_MXCSR);
	forget_bytes(m, t->offset, XSAVE_MXCSR_MASK, XSAVE_ST);
}

static void compare_memory(struct judge *j, const struct tolerance *t, const struct diff_result *host, const struct diff_result *engine)
{
	static struct diff_memory a, b; /* too large for a stack that signals share */
	const uint8_t *pa = a.data, *pb = b.data, *before = j->c->mem.data;

	a = host->mem;
	b = engine->mem;
	memset(a.data + DIFF_DATA_HOLE, 0, 0x1000);
	memset(b.data + DIFF_DATA_HOLE, 0, 0x1000);
	tolerate_memory(t, &a);
	tolerate_memory(t, &b);
	if (!memcmp(&a, &b, sizeof(a)))
		return;
	for (unsigned i = 0, shown = 0; i < sizeof(a) && shown < 8; i += 16) {
		if (memcmp(pa + i, pb + i, 16)) {
			bytes_differ(j, i < DIFF_DATA_BYTES ? "data+" : "stack+", i < DIFF_DATA_BYTES ? i : i - DIFF_DATA_BYTES, pa + i,
			pb + i, before + i, 16);
			shown++;
		}
	}
}

static void compare_fault(struct judge *j, const struct tolerance *t, const struct diff_result *host, const struct diff_result *engine)
{
	uint32_t mask = UINT32_MAX;

	if (t->cr2_in_page && engine->vector == X86_EXC_GP && host->vector == X86_EXC_PF)
		return; /* beyond 4 GiB: accessed word by word */
	if (host->vector != engine->vector) {
		differ(j, "vector", host->vector, engine->vector, 0);
		return;
	}
	/* The upper half is the host kernel's: present or not is its business. */
	if (host->vector == X86_EXC_PF && host->cr2 >> 47)
		mask = ~X86_PF_P;
	if ((host->error ^ engine->error) & mask)
		differ(j, "error", host->error, engine->error, 0);
	if (host->vector == X86_EXC_PF && (host->cr2 ^ engine->cr2) >> (t->cr2_in_page ? 12 : 0))
		differ(j, "cr2", host->cr2, engine->cr2, 0);
}

static void find_tolerance(const struct diff_case *c, struct tolerance *t)
{
	struct insn insn;

	*t = (struct tolerance){ 0 };
	for (unsigned i = 0; i < c->insns; i++)
		if (x86_decode(c->code + c->start[i], c->len - c->start[i], c->mode, &insn) == DECODE_OK)
			tolerate_insn(t, c, &insn);
}

bool diff_compare(const struct diff_case *c, const struct diff_result *host, const struct diff_result *engine, const char *name, FILE *out)
{
	struct judge j = { .c = c, .name = name, .out = out, .same = true };
	uint64_t gpr_mask = c->mode == X86_MODE_64 ? UINT64_MAX : UINT32_MAX, flags;
	struct tolerance t;

	find_tolerance(c, &t);
	flags = FLAGS & ~t.flags;
	if (host->kind != engine->kind) {
		differ(&j, "outcome", host->kind == DIFF_FAULT ? 0x100u + host->vector : 0, engine->kind == DIFF_FAULT ? 0x100u + engine->vector : 0, 0);
	} else if (host->kind == DIFF_FAULT) {
		compare_fault(&j, &t, host, engine);
	}
	for (unsigned i = 0; i < (c->mode == X86_MODE_64 ? 16u : 8u) && !(t.registers && host->kind == DIFF_FAULT); i++)
		if ((host->regs.gpr[i] ^ engine->regs.gpr[i]) & gpr_mask)
			differ(&j, gpr_name[i], host->regs.gpr[i], engine->regs.gpr[i], c->regs.gpr[i]);
	if (host->regs.rip != engine->regs.rip)
		differ(&j, "rip", host->regs.rip, engine->regs.rip, c->regs.rip);
	if ((host->regs.rflags ^ engine->regs.rflags) & flags)
		differ(&j, "flags", host->regs.rflags & FLAGS, engine->regs.rflags & FLAGS, c->regs.rflags & FLAGS);
	if (c->mode == X86_MODE_64 && host->regs.fs_base != engine->regs.fs_base)
		differ(&j, "fs base", host->regs.fs_base, engine->regs.fs_base, c->regs.fs_base);
	if (c->mode == X86_MODE_64 && host->regs.gs_base != engine->regs.gs_base)
		differ(&j, "gs base", host->regs.gs_base, engine->regs.gs_base, c->regs.gs_base);
	compare_vectors(&j, host->regs.xsave, engine->regs.xsave);
	compare_memory(&j, &t, host, engine);
	return j.same;
}

static void print_insn(const struct diff_case *c, unsigned from, unsigned to, FILE *out)
{
	fprintf(out, "  ");
	for (unsigned i = from; i < to; i++)
		fprintf(out, "%02x", c->code[i]);
#ifdef DIFF_ZYDIS
	ZydisDisassembledInstruction d;
	ZydisMachineMode mode = c->mode == X86_MODE_64 ? ZYDIS_MACHINE_MODE_LONG_64 : ZYDIS_MACHINE_MODE_LONG_COMPAT_32;

	if (ZYAN_SUCCESS(ZydisDisassembleIntel(mode, DIFF_CODE + c->offset + from, c->code + from, to - from, &d)))
		fprintf(out, "%*s%s", (int)(2 * (to - from) < 24 ? 24 - 2 * (to - from) : 2), "", d.text);
#endif
	fprintf(out, "\n");
}

void diff_print(const struct diff_case *c, FILE *out)
{
	fprintf(out, "%u ", c->mode == X86_MODE_64 ? 64u : 32u);
	for (unsigned i = 0; i < c->len; i++)
		fprintf(out, "%02x", c->code[i]);
	fprintf(out, " | seed=%llx\n", (unsigned long long)c->seed);
	for (unsigned i = 0; i < c->insns; i++)
		print_insn(c, c->start[i], i + 1 < c->insns ? c->start[i + 1] : c->len, out);
}
