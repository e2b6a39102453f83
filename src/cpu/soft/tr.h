/* SPDX-License-Identifier: Apache-2.0 */
/* The state of one translation, shared by translate.c and the gen_*.c files. */
#ifndef LODGE_CPU_SOFT_TR_H
#define LODGE_CPU_SOFT_TR_H

#include "cpu/soft/emit.h"

/* How an instruction is translated. */
enum tr_class {
	TR_INTERP,      /* call the interpreter and go on */
	TR_INTERP_STOP, /* call the interpreter, then leave: mode or RIP may change */
	TR_NATIVE,      /* the same instruction with registers renamed and its memory operand replaced */
	TR_CUSTOM,      /* a template of its own */
};

/* A guest memory operand, from an instruction or made up for the stack. */
struct tr_ea {
	uint8_t base, index, scale; /* guest GPR numbers; X86_NOREG */
	bool fixed;                 /* the address is `addr`, known now */
	bool computed;              /* the linear address lies in tmp[1] */
	uint8_t seg_base;           /* X86_FS, X86_GS, or X86_NSEG for none */
	bool wide;                  /* 64-bit address arithmetic; else modulo 2^32 */
	int32_t disp;
	uint64_t addr;
};

/* Accesses that share one TLB check; gen_group.c. */
struct tr_group {
	bool open;
	uint8_t slot;        /* in group_delta[] */
	enum tlb_kind kind;
	struct tr_ea ea;     /* base, index, segment; or the fixed page */
	int32_t shift;       /* what was added to the base since the check */
	int32_t lo, hi;      /* checked, relative to the base at the check */
};
#define TR_GROUPS SOFT_GROUPS
#define TR_NO_GROUP TR_GROUPS
#define TR_NO_SHADOW UINT32_MAX

struct tr {
	struct soft_vcpu *v;
	struct soft_block *b;
	struct emit hot, cold;
	unsigned n, i;          /* instructions; the current one */
	unsigned counted;       /* those before this one have been counted */
	unsigned ahead;         /* instructions behind the block that were looked at */
	const struct insn *in, *insns;
	uint64_t rip, next;     /* of the current instruction */
	bool is64;
	bool parked;            /* the guest's flags are in park_flags, EFLAGS is free */
	uint16_t live[SOFT_BLOCK_INSNS_MAX + 1]; /* flags needed before instruction i */
	enum tr_class class[SOFT_BLOCK_INSNS_MAX];
	unsigned free;          /* scratch registers that are free: bit 0 S0, bit 1 S1 */
	bool groups_on;
	struct tr_group group[TR_GROUPS];
	unsigned next_group, s1_group; /* slot to use next; whose delta S1 holds, or TR_NO_GROUP */
	bool next_flags_dead;   /* what follows the block overwrites all flags before it reads any */
	unsigned shadow_until;  /* the instruction in STI's shadow, or TR_NO_SHADOW */
	bool failed;            /* no template after all: interpret this instruction */
};

struct tr_ea tr_ea_of(const struct tr *t, const struct insn *in);
/* The same for an instruction that is followed by @next. */
struct tr_ea tr_ea_at(const struct tr *t, const struct insn *in, uint64_t next);
struct tr_ea tr_ea_stack(const struct tr *t, unsigned base, int32_t disp);
/* Compute the linear address in @dst; clobbers the other scratch, keeps EFLAGS. */
void tr_linear(struct tr *t, struct emit *e, const struct tr_ea *ea, unsigned dst);
/*
 * Check @bytes at @ea for @kind and give the host operand. On return one
 * scratch register is in use by the operand and t->free names the other. EFLAGS
 * is clobbered; live guest flags have been parked.
 */
struct host_mem tr_check(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes);
/* The same without groups: S0 is the offset in the page at S1, unless @ea is fixed. */
struct host_mem tr_check_alone(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes);
void tr_park(struct tr *t); /* park the guest's flags if they are live: EFLAGS may be clobbered */
/* Bring an operand of tr_check() that takes both scratch registers into S0. */
void tr_fold(struct tr *t, struct host_mem *m);
/* A scratch register besides the operand, which is folded if it takes both. */
unsigned tr_spare(struct tr *t, struct host_mem *m);
/* The address without segment base into @dst; false: it took S1 as well. */
bool tr_offset(struct tr *t, struct emit *e, const struct tr_ea *ea, unsigned dst);

/* gen_group.c */
bool tr_group_access(struct tr *t, const struct tr_ea *ea, enum tlb_kind kind, unsigned bytes, struct host_mem *m);
void tr_group_check(struct tr *t, const struct tr_group *g); /* in gen_mem.c: S1 and its slot get the delta */
/* Cold: a jump to the block without groups for the current instruction; its address. */
uint64_t tr_group_exit(struct tr *t);
bool tr_accesses_memory(enum tr_class class, const struct insn *in);
void tr_groups_hoist(struct tr *t);
void tr_groups_after(struct tr *t);
void tr_groups_close(struct tr *t);

void tr_need_flags(struct tr *t);  /* the next instruction wants the guest's flags in EFLAGS */
void tr_native(struct tr *t);
bool tr_custom(struct tr *t);      /* emits; false: not possible, interpret */
bool tr_flow(struct tr *t);        /* its part for branches */
bool tr_system(struct tr *t);      /* its part for privileged and system instructions */
bool tr_string(struct tr *t);      /* its part for repeated string instructions */
bool tr_string_inline(const struct tr *t, const struct insn *in);
bool tr_bit_inline(const struct tr *t, const struct insn *in); /* BT in a bit string */
bool tr_system_inline(const struct tr *t, const struct insn *in);
bool tr_syscall_inline(const struct tr *t, const struct insn *in);
bool tr_syscall(struct tr *t);
/* RFLAGS as PUSHF shows it into @dst, from the parked flags; clobbers @tmp and EFLAGS. */
void tr_flags_image(struct tr *t, unsigned dst, unsigned tmp);
bool tr_ends_block(const struct tr *t, enum tr_class class, const struct insn *in);
/* Of those, a branch that a block may go on behind: a forward one not taken, a call that comes back. */
bool tr_goes_on(const struct tr *t, enum tr_class class, const struct insn *in);
void tr_end_shadow(struct tr *t);  /* the instruction after STI is done */
/* The guest's stack, a word of 4 or 8 bytes. */
unsigned tr_stack_bytes(const struct tr *t);
void tr_move_rsp(struct tr *t, int32_t by);
void tr_load_word(struct tr *t, unsigned dst, struct host_mem m);
void tr_store_word(struct tr *t, struct host_mem m, unsigned src);
struct host_mem tr_check_stack(struct tr *t, unsigned base, int32_t disp, enum tlb_kind kind);
/* Store @value, known now, below the stack pointer and move it. Uses the free scratch. */
void tr_push_constant(struct tr *t, uint64_t value);
void tr_exit(struct tr *t, uint64_t target); /* leave by a direct link */
void tr_interp(struct tr *t, bool ends);
void tr_interp_cold(struct tr *t); /* in the cold part: interpret the current instruction and leave */
struct soft_site *tr_site(struct tr *t, bool ends); /* a record of the current instruction */

enum tr_class tr_classify(const struct tr *t, const struct insn *in);
uint16_t tr_flags_read(enum tr_class class, const struct insn *in);
uint16_t tr_flags_killed(enum tr_class class, const struct insn *in);
uint16_t tr_flags_written(enum tr_class class, const struct insn *in);

static inline unsigned tr_host_gpr(unsigned guest)
{
	return guest == X86_RSP ? HR_GUEST_RSP : guest;
}
static inline bool tr_in_memory(unsigned guest)
{
	return guest == X86_R10 || guest == X86_R11 || guest == X86_R15;
}
static inline unsigned tr_tlb_mode(const struct tr *t)
{
	return soft_block_mode(t->b);
}
static inline uint64_t tr_stub(const struct tr *t, uint32_t offset)
{
	return (uint64_t)(uintptr_t)(t->v->area.rx + offset);
}

#endif
