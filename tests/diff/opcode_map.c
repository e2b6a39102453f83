/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allow-list decoder against the host's CPU: every opcode of the three maps
 * behind the prefixes that select instructions, and every VEX form, in 64-bit
 * and 32-bit code, with every reg field of ModRM in register and memory form.
 *
 * The bytes stand at the end of a page with nothing behind it. What the decoder
 * takes for an instruction of n bytes must not be #UD with n bytes and must fault
 * at the end of the page with n - 1. What it takes for undefined must be #UD.
 * Each difference that is meant is in a table below with its reason, and counted.
 *
 * opcode_map [full]: of the register forms, a sample or (three times as long) all.
 */
#include <cpuid.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <Zydis/Zydis.h>
#include "../unit/decode/hidden_sets.h"
#include "diff.h"

#define REPORTS_MAX 40
#define PAGE_END (DIFF_CODE + DIFF_CODE_BYTES)

/* ---- encodings, by number ---- */

static const char *const escapes[] = { "", "\x0f", "\x0f\x38", "\x0f\x3a" };
/* The last five in 64-bit code only. */
static const char *const prefixes[] = { "", "\x66", "\xf2", "\xf3", "\xf0", "\x67", "\x66\xf2", "\x66\xf3",
					 "\x48", "\x66\x48", "\xf2\x48", "\xf3\x48", "\x4d" };
#define PREFIXES_32 8u
#define MODRMS 76u /* all register forms, then [base] with every reg, then the other memory forms */
#define LEGACY_FORMS (ARRAY_LEN(prefixes) * 4 * 256 * MODRMS)
#define VEX_FORMS (UINT64_C(32) * 256 * 32 * 24) /* maps, opcodes, W L pp vvvv, ModRM */
#define FORMS (2 * (LEGACY_FORMS + VEX_FORMS))

struct encoding {
	unsigned mode, n;
	bool full;  /* all register forms are wanted */
	bool first; /* of those that differ in ModRM alone */
	uint8_t bytes[X86_INSN_MAX + 9];
};

static unsigned pick(uint64_t *n, unsigned of)
{
	unsigned v = (unsigned)(*n % of);

	*n /= of;
	return v;
}

static void put(struct encoding *e, unsigned byte)
{
	e->bytes[e->n++] = (uint8_t)byte;
}

static unsigned legacy_modrm(unsigned m)
{
	static const uint8_t others[] = { 0x04, 0x05, 0x40, 0x80 };

	return m < 64 ? 0xc0 | m : m < 72 ? (m - 64) << 3 : others[m - 72];
}

/* Where the r/m field of a register form selects the instruction. */
static bool rm_selects(unsigned map, unsigned opcode)
{
	if (map == 0)
		return (opcode >= 0xd8 && opcode <= 0xdf) || opcode == 0xc6 || opcode == 0xc7;
	return map == 1 && (opcode == 0x01 || opcode == 0x1e || opcode == 0xae || opcode == 0xc7);
}

static bool encode_legacy(struct encoding *e, uint64_t n)
{
	unsigned m = pick(&n, MODRMS), opcode = pick(&n, 256), map = pick(&n, 4), p = (unsigned)n;

	if (p >= PREFIXES_32 && e->mode != X86_MODE_64)
		return false;
	if (!e->full && m < 64 && (m & 7) != ((m >> 3) + opcode) % 8 && !rm_selects(map, opcode))
		return false;
	for (const char *c = prefixes[p]; *c; c++)
		put(e, (uint8_t)*c);
	for (const char *c = escapes[map]; *c; c++)
		put(e, (uint8_t)*c);
	put(e, opcode);
	put(e, legacy_modrm(m));
	e->first = m == 64;
	return true;
}

static bool encode_vex(struct encoding *e, uint64_t n)
{
	unsigned m = pick(&n, 24), opcode = pick(&n, 256), low = pick(&n, 16), v = pick(&n, 2) ? 9 : 15, map = (unsigned)n;

	if (map == 0 || map > 3 ? m % 8 || opcode % 16 : !e->full && m < 16 && m >> 3 != ((m ^ opcode) & 1))
		return false; /* a sample will do, above all of maps that are not in use */
	put(e, 0xc4);
	put(e, 0xe0 | map);
	put(e, (low & 8) << 4 | v << 3 | (low & 7));
	put(e, opcode);
	put(e, m < 8 ? 0xc1 | m << 3 : m < 16 ? 0xc7 | (m & 7) << 3 : (m & 7) << 3);
	e->first = m == 16;
	return true;
}

/* False: there is none of this number. */
static bool encode(struct encoding *e, uint64_t n, bool full)
{
	bool ok;

	*e = (struct encoding){ .full = full, .mode = pick(&n, 2) ? X86_MODE_32 : X86_MODE_64 };
	ok = n < LEGACY_FORMS ? encode_legacy(e, n) : encode_vex(e, n - LEGACY_FORMS);
	for (unsigned i = 1; e->n < sizeof(e->bytes); i++)
		put(e, 0x11 * (i % 8));
	return ok;
}

/* ---- one run on the host ---- */

enum outcome { UNDEFINED, CUT_OFF, EXECUTED };

static struct diff_case current;
static struct diff_result result;

static void prepare_state(void)
{
	for (unsigned i = 0; i < 16; i++)
		current.regs.gpr[i] = DIFF_DATA + 0x800;
	current.regs.gpr[X86_RSP] = DIFF_STACK + 0x800;
	current.regs.rflags = 0x202;
	put_le32(current.regs.xsave + XSAVE_MXCSR, 0x1f80);
}

/* The first @len bytes as the last ones of the page. */
static enum outcome run(const struct diff_engine *host, const struct encoding *e, unsigned len)
{
	current.mode = e->mode;
	current.len = len;
	current.offset = DIFF_CODE_BYTES - len;
	current.regs.rip = DIFF_CODE + current.offset;
	memcpy(current.code, e->bytes, len);
	for (unsigned tries = 0; tries < 10; tries++) { /* a busy host may make it look like an endless loop */
		host->run(host->ctx, &current, &result);
		if (result.kind != DIFF_TIMEOUT)
			break;
	}
	if (result.kind != DIFF_FAULT)
		return EXECUTED; /* a system call, or a loop */
	if (result.vector == X86_EXC_UD)
		return UNDEFINED;
	if (result.vector == X86_EXC_PF && result.cr2 == PAGE_END && result.regs.rip == current.regs.rip)
		return CUT_OFF;
	return EXECUTED;
}

/* ---- what may differ ---- */

enum reason {
	SAME, NOT_RUN,
	/* undefined for Lodge */
	HIDDEN, HIDDEN_SNP, VERW_LOCK, VPERM_W0,
	/* undefined here */
	OP_UD, RING0, NOT_OFFERED, W_IN_32,
	/* of another length */
	NEAR_66,
	REASONS,
	WRONG_UNDEFINED, WRONG_DEFINED, WRONG_LONGER, WRONG_SHORTER, WRONG_DEATH,
	VERDICTS,
};

static const char *const words[VERDICTS] = {
	[SAME] = "alike",
	[NOT_RUN] = "not run: hypervisors have opinions on hypercalls, MWAITX waits",
	[HIDDEN] = "the host has them, guests do not see them (tests/unit/decode/hidden_sets.h)",
	[HIDDEN_SNP] = "0F 01 FE and FF with other prefixes: AMD's for encrypted guests, of which Zydis knows some",
	[VERW_LOCK] = "VERW with LOCK: AMD's processors take it, both manuals say #UD",
	[VPERM_W0] = "VPERMQ and VPERMPD with VEX.W 0: AMD's processors take them, both manuals say #UD",
	[OP_UD] = "the operation UD, a defined way to be undefined",
	[RING0] = "#UD in ring 3: CLAC, STAC, MONITOR, MWAIT; SYSENTER and SYSEXIT of AMD's in long mode",
	[NOT_OFFERED] = "features that this host has not",
	[W_IN_32] = "VPINSRD and VPEXTRD with VEX.W in 32-bit code: Intel's processors ignore it as Lodge does, AMD's refuse it",
	[NEAR_66] = "near branches with 66 in 64-bit code: AMD's processors obey, Intel's ignore it as Lodge does",
	[WRONG_UNDEFINED] = "valid for Lodge, #UD on the host",
	[WRONG_DEFINED] = "undefined for Lodge, valid on the host",
	[WRONG_LONGER] = "longer on the host",
	[WRONG_SHORTER] = "shorter on the host",
	[WRONG_DEATH] = "ended the process",
};

/* Optional features that not every host with AVX2 has. */
static bool host_lacks(unsigned feature)
{
	static const struct {
		unsigned feature, leaf, reg, bit; /* reg: 1 EBX, 2 ECX */
	} rows[] = {
		{ X86_F_SSE4A, 0x80000001, 2, 6 }, { X86_F_3DNOWPREFETCH, 0x80000001, 2, 8 }, { X86_F_CLZERO, 0x80000008, 1, 0 },
		{ X86_F_SHA, 7, 1, 29 }, { X86_F_ADX, 7, 1, 19 }, { X86_F_RDSEED, 7, 1, 18 }, { X86_F_INVPCID, 7, 1, 10 },
		{ X86_F_CLFLUSHOPT, 7, 1, 23 }, { X86_F_CLWB, 7, 1, 24 }, { X86_F_SMAP, 7, 1, 20 },
		{ X86_F_VAES, 7, 2, 9 }, { X86_F_VPCLMUL, 7, 2, 10 }, { X86_F_RDPID, 7, 2, 22 },
	};
	unsigned r[4];

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].feature == feature)
			return !__get_cpuid_count(rows[i].leaf, 0, &r[0], &r[1], &r[2], &r[3]) || !(r[rows[i].reg] >> rows[i].bit & 1);
	return false;
}

static bool is_0f01(const struct insn *insn, unsigned modrm)
{
	return insn->map == 1 && insn->opcode == 0x01 && insn->modrm == modrm;
}

static bool must_not_run(const struct insn *insn)
{
	/* VMCALL, VMMCALL, MWAITX, behind any prefix */
	return is_0f01(insn, 0xc1) || is_0f01(insn, 0xd9) || is_0f01(insn, 0xfb);
}

static enum reason why_defined(const struct insn *insn, const ZydisDecodedInstruction *zi)
{
	if (zi && is_hidden_set(zi))
		return HIDDEN;
	if (is_0f01(insn, 0xfe) || is_0f01(insn, 0xff))
		return HIDDEN_SNP;
	if (insn->map == 1 && insn->opcode == 0 && (insn->modrm >> 3 & 7) == 5 && insn->flags & INSN_LOCK)
		return VERW_LOCK;
	if (insn->flags & INSN_VEX && insn->map == 3 && insn->opcode <= 1 && insn->vex_l && insn->vex_pp == 1)
		return VPERM_W0;
	return WRONG_DEFINED;
}

static enum reason why_undefined(const struct insn *insn, unsigned mode)
{
	switch (insn->op) {
	case X86_OP_UD:
		return OP_UD;
	case X86_OP_CLAC: case X86_OP_STAC: case X86_OP_MONITOR: case X86_OP_MWAIT: case X86_OP_SYSENTER: case X86_OP_SYSEXIT:
		return RING0;
	default:
		break;
	}
	if (host_lacks(insn->feature))
		return NOT_OFFERED;
	if (insn->flags & INSN_VEX && mode == X86_MODE_32 && insn->rex == 8 && insn->map == 3 && (insn->opcode == 0x16 || insn->opcode == 0x22))
		return W_IN_32;
	return WRONG_UNDEFINED;
}

static enum reason judge(const struct diff_engine *host, const ZydisDecoder *zydis, const struct encoding *e)
{
	ZydisDecodedInstruction zi;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	bool known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(zydis, e->bytes, X86_INSN_MAX, &zi, operands));
	struct insn insn;
	bool valid = x86_decode(e->bytes, X86_INSN_MAX, e->mode, &insn) == DECODE_OK;
	enum outcome outcome;

	if (must_not_run(&insn))
		return NOT_RUN;
	if (!valid)
		return run(host, e, X86_INSN_MAX) == UNDEFINED ? SAME : why_defined(&insn, known ? &zi : NULL);
	if (!(insn.flags & INSN_MODRM) && !e->first)
		return SAME; /* it was tried */
	outcome = run(host, e, insn.len);
	if (outcome == UNDEFINED)
		return why_undefined(&insn, e->mode);
	if (outcome == CUT_OFF)
		return WRONG_LONGER;
	if (insn.len == 1 || run(host, e, insn.len - 1u) == CUT_OFF)
		return SAME;
	return e->mode == X86_MODE_64 && insn.flags & INSN_66 && x86_op_info(insn.op)->attr & X86_OPA_BRANCH ? NEAR_66 : WRONG_SHORTER;
}

/* ---- all of them, in a child process ---- */

struct progress {
	uint64_t next, count[VERDICTS], wrong;
	bool finished;
};

static void report(struct progress *g, const struct encoding *e, enum reason why)
{
	struct insn insn;
	bool valid = x86_decode(e->bytes, X86_INSN_MAX, e->mode, &insn) == DECODE_OK;

	if (g->wrong++ >= REPORTS_MAX)
		return;
	printf("%s: %u-bit", words[why], e->mode == X86_MODE_64 ? 64 : 32);
	for (unsigned i = 0; i < (valid ? insn.len : 12u); i++)
		printf(" %02x", e->bytes[i]);
	printf("%s%s\n", valid ? " " : "", valid ? x86_op_info(insn.op)->name : "");
	fflush(stdout);
}

static int child(const struct diff_engine *host, struct progress *g, bool full)
{
	ZydisDecoder zydis[2];

	if (!diff_host_sandbox() || ZYAN_FAILED(ZydisDecoderInit(&zydis[0], ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderInit(&zydis[1], ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32)))
		return 2;
	prepare_state();
	for (; g->next < FORMS; g->next++) {
		struct encoding e;
		enum reason why;

		if (!encode(&e, g->next, full))
			continue;
		why = judge(host, &zydis[e.mode == X86_MODE_32], &e);
		g->count[why]++;
		if (why > REASONS)
			report(g, &e, why);
	}
	g->finished = true;
	return 0;
}

static bool run_all(const struct diff_engine *host, struct progress *g, bool full)
{
	while (!g->finished && g->wrong < REPORTS_MAX) {
		struct encoding e;
		int status;
		pid_t pid = fork();

		if (pid == 0)
			_exit(child(host, g, full));
		if (pid < 0 || waitpid(pid, &status, 0) != pid || (WIFEXITED(status) && WEXITSTATUS(status) == 2))
			return false;
		if (g->finished)
			break;
		encode(&e, g->next++, full);
		g->count[WRONG_DEATH]++;
		report(g, &e, WRONG_DEATH);
	}
	return true;
}

int main(int argc, char **argv)
{
	struct progress *g = mmap(NULL, sizeof(*g), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const struct diff_engine *host;
	const char *why;

	host = diff_host_create(&why);
	if (!host) {
		printf("skipped: %s\n", why);
		return 77;
	}
	if (g == MAP_FAILED || !run_all(host, g, argc > 1 && !strcmp(argv[1], "full"))) {
		printf("cannot run code in a sandbox here\n");
		return 2;
	}
	for (unsigned i = 0; i < VERDICTS; i++)
		if (g->count[i])
			printf("%9llu %s\n", (unsigned long long)g->count[i], words[i]);
	return g->wrong != 0;
}
