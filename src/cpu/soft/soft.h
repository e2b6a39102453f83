/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The translator's own structures. One struct soft_vcpu per vcpu holds its
 * code cache, blocks, links and lookup tables; only the map of guest pages that
 * hold translated code is shared (code_map.c). Generated code addresses the
 * struct through GS, so field offsets below are part of the generated code.
 *
 * docs/SOFT-CPU.md tells the whole story with a block shown in bytes.
 */
#ifndef LODGE_CPU_SOFT_SOFT_H
#define LODGE_CPU_SOFT_SOFT_H

#include "base/hash.h"
#include "cpu/cpu_backend.h"
#include "cpu/x86/cpu.h"
#include "cpu/x86/decode.h"
#include "cpu/x86/interp.h"
#include "cpu/x86/mmu.h"
#include "host/host_ops.h"

#define SOFT_VCPUS_MAX 16
#define SOFT_BLOCK_INSNS_MAX 48
#define SOFT_BLOCK_BRANCHES_MAX 4 /* that a block goes on behind */
#define SOFT_CELLS_MAX (SOFT_BLOCKS_MAX * 2)
#define SOFT_BLOCKS_MAX (1u << 18)
#define SOFT_LINKS_MAX (SOFT_BLOCKS_MAX * 4)
#define SOFT_HASH_BITS 17
#define SOFT_PAGE_HASH_BITS 14
#define SOFT_IBTC_ENTRIES 65536u
#define SOFT_CODE_CACHE_DEFAULT (UINT64_C(128) << 20)
#define SOFT_CODE_CACHE_MIN (UINT64_C(1) << 20)
#define SOFT_GROUP_MISSES_BITS 12
#define SOFT_GROUP_MISSES (1u << SOFT_GROUP_MISSES_BITS)
#define SOFT_GROUP_MISSES_MAX 32u
#define SOFT_GROUP_MISS_TICKS 20000u /* further apart they cost less than checks would */
#define SOFT_EXEC_FILTER_BITS 16
/* Code that is written again and again is interpreted that many times before it is translated once more. */
#define SOFT_CHURN_BITS 12
#define SOFT_CHURN (1u << SOFT_CHURN_BITS)
#define SOFT_CHURN_KILLS 4u
#define SOFT_CHURN_VISITS 64u
/* Code is interpreted so many times before it is translated: most code of a boot runs once or twice. */
#define SOFT_HEAT_BITS 16
#define SOFT_HEAT (1u << SOFT_HEAT_BITS)
#define SOFT_HEAT_ENOUGH 3u
#define SOFT_NO_CELL UINT32_MAX
#define SOFT_SHADOW_BYTES 65536u

/*
 * Everything about the vcpu's mode that generated code relies on; part of a
 * block's key.
 */
#define SOFT_KEY_64 0x01u     /* 64-bit code; else flat 32-bit */
#define SOFT_KEY_TLB_SHIFT 1  /* two bits: enum tlb_mode */
#define SOFT_KEY_FPU 0x08u    /* x87, MMX and SSE run without #NM and #UD */
#define SOFT_KEY_AVX 0x10u
#define SOFT_KEY_FS 0x20u     /* 32-bit code: FS is usable without a limit check */
#define SOFT_KEY_GS 0x40u
#define SOFT_KEY_X87 0x80u
#define SOFT_KEY_SINGLE 0x100u /* each access is checked by itself; found from C only */

#define SOFT_KEY_CPL0 0x200u
#define SOFT_KEY_SMAP 0x400u
#define SOFT_KEY_SYSCALL 0x1000u /* SYSCALL and SYSRET are on, in long mode */
#define SOFT_KEY_TSC 0x800u    /* RDTSC is allowed here and is the host's plus an offset */

#define SOFT_GROUPS 4

struct soft_block;

/* A direct exit of a block. Unlinked, it leaves to C with a pointer to itself. */
struct soft_link {
	struct soft_block *from;
	struct soft_block *to;      /* NULL: not linked */
	struct soft_link *next;     /* in to->links_in */
	struct soft_link **pprev;
	uint64_t target;            /* guest RIP */
	uint32_t jump;              /* cache offset of the rel32 to patch; 0: goes through a cell */
	uint32_t stub;              /* cache offset of the unlinked path */
	uint32_t cell;
	bool polled;                /* a back-edge enters where requests are polled */
	bool parked;                /* the guest's flags are parked in memory at this exit */
	bool single;                /* to a block of SOFT_KEY_SINGLE */
};

enum soft_entry { SOFT_ENTRY_PLAIN, SOFT_ENTRY_POLLED, SOFT_ENTRY_PARKED, SOFT_ENTRY_POLLED_PARKED, SOFT_NENTRIES };

struct soft_block {
	uint64_t rip;
	uint64_t gpa;
	uint64_t ram_page;          /* of its first byte; MEMORY_NO_RAM_PAGE for ROM */
	uint64_t gpa2, ram_page2;   /* second page of a straddling instruction; gpa2 = UINT64_MAX if none */
	uint32_t key;
	uint16_t bytes;             /* guest bytes */
	uint16_t bytes_seen;        /* and those behind them that the translation relies on, same page */
	uint16_t insns;
	bool dead;
	bool pads;                  /* returns of calls come back into it */
	uint32_t entry[SOFT_NENTRIES]; /* cache offsets */
	uint32_t code, code_end;    /* hot part, for the fault map */
	uint32_t map;               /* first entry in the fault map pool, `insns` of them */
	struct soft_link *link;     /* `nlinks` of them: exits, and where checks of groups failed */
	uint16_t nlinks;
	struct soft_link *links_in;
	struct soft_block *hash_next;
	struct soft_block *page_next[2]; /* list of its page(s) */
};

/* Where instruction i of a block starts, in host and guest bytes from the block's start. */
struct soft_map {
	uint16_t host;
	uint16_t guest; /* with SOFT_MAP_PARKED: the flags are in park_flags while it runs */
};
#define SOFT_MAP_PARKED 0x8000u
#define SOFT_MAP_COUNTED 0x4000u /* the instructions from here to the next such mark were counted just before */
#define SOFT_MAP_OFFSET 0x3fffu

/* An instruction that generated code hands to the interpreter. */
struct soft_site {
	uint64_t rip;
	uint16_t left; /* instructions after this one that were counted with it */
	bool ends;     /* leave generated code afterwards whatever happens */
	struct insn insn;
};

/* Data behind the call in a memory slow path; see gen_mem.c. */
struct LODGE_PACKED soft_slow_data {
	uint64_t rip;
	uint16_t size;
	uint8_t left;
	uint32_t block; /* in blocks[] */
};

/* Return values of soft_enter(): a struct soft_link pointer, or one of these. */
enum soft_exit { SOFT_EXIT_AGAIN, SOFT_EXIT_REQUEST, SOFT_EXIT_STEP, SOFT_EXIT_STEP_INDIRECT, SOFT_EXIT_INDIRECT, SOFT_EXIT_SMALL_MAX = 16 };

struct soft_options {
	bool interp;   /* never translate */
	bool nolink;   /* every direct exit goes through C */
	bool noibtc;   /* every indirect branch goes through the interpreter */
	bool notlb;    /* translated code's misses do not fill the TLB: the interpreter does such accesses */
	bool noflags;  /* assume that flags are always live */
	bool oneinsn;  /* blocks of one instruction */
	bool nonative; /* x87, SSE and AVX by the interpreter */
	bool nopext;   /* do not use BMI2 in generated code */
	bool nogroup;  /* every memory access is checked on its own */
	bool nostring; /* REP STOS and MOVS by the interpreter */
	bool nobits;   /* BT in a bit string by the interpreter */
	bool eager;    /* translate code when it runs for the first time */
	bool chaos;    /* random flushes, unlinks and requests at safe points */
};

/* Offsets of stubs in the code cache. */
struct soft_stubs {
	uint32_t enter;
	uint32_t exit, exit_parked;           /* R10: return value */
	uint32_t slow[TLB_NKINDS][2];         /* R10: linear address; [1]: flags parked */
	uint32_t slow_group[TLB_NKINDS][2];
	uint32_t interp, interp_stop;         /* R11: struct soft_site */
	uint32_t dispatch[TLB_NMODES];        /* R10: guest RIP to go on at; flags live */
	uint32_t ret_miss[TLB_NMODES];        /* the same after emptying the shadow stack */
	uint32_t fault;                       /* the fault hook resumes here */
	uint32_t end;
};

struct soft_vm;

/* The last entry is never filled: an empty one would match RIP ~0, which belongs there. */
#define SOFT_IBTC_NEVER 1u
struct soft_ibtc {
	struct {
		uint64_t key;               /* NOT(rip); 0 is empty */
		uint64_t parked;            /* code to go to with the flags parked */
	} entry[SOFT_IBTC_ENTRIES];
	uint64_t plain[SOFT_IBTC_ENTRIES];  /* the same with the flags in EFLAGS, for C */
};
#define SOFT_IBTC_ENTRY_SHIFT 4

/* Functions begin at multiples of 16 and the cases of a switch lie near each other. */
static inline unsigned soft_ibtc_index(uint64_t rip)
{
	return rip >> 3 & (SOFT_IBTC_ENTRIES - 1);
}

/* A part of memory that fills from its start; growth.c */
struct soft_growth {
	uint8_t *base;
	uint64_t bytes;
	uint64_t next; /* look at it again when so much is used */
};
enum soft_grows { SOFT_GROWS_VCPU, SOFT_GROWS_HOT, SOFT_GROWS_COLD, SOFT_GROWS_BLOCKS, SOFT_GROWS_LINKS, SOFT_NGROWS };

struct soft_vcpu {
	struct x86_cpu cpu; /* first: GS base */

	/* Used by generated code. */
	uint64_t self;          /* address of this struct */
	uint64_t jit_rsp;       /* RSP of generated code while C runs: a place in a shadow stack */
	uint64_t c_rsp;         /* RSP of C while generated code runs */
	uint64_t shadow_base[TLB_NMODES]; /* RSP of an empty shadow stack */
	uint64_t ret_target;    /* where the last RET goes, */
	uint32_t ret_site;      /* and which it was (sites[]) */
	uint32_t pad2;
	uint64_t park_rax, park_rcx;
	uint32_t park_flags, pad;
	uint64_t tmp[2];
	uint64_t group_delta[SOFT_GROUPS];
	uint64_t no_if_mask;    /* all but RFLAGS.IF */
	uint64_t jit_insns;

	struct soft_vm *vm;
	const struct x86_env_ops *env; /* the machine's; cpu.env is ours */
	void *env_ctx;
	_Atomic uint32_t in_engine;
	_Atomic uint32_t sleep_word;   /* bumped by request() for halted vcpus */

	uint8_t *shadow[TLB_NMODES];    /* SOFT_SHADOW_BYTES each, guarded; see shadow.c */
	uint64_t shadow_rsp[TLB_NMODES];
	uint32_t shadow_reset;          /* modes whose stack is to be emptied before generated code runs again */
	uint32_t shadow_nonglobal;      /* modes that ran code in pages which are not global */

	struct host_code_area area;
	uint32_t code_used;             /* hot code grows from the start of the cache, */
	uint32_t cold_used;             /* cold code from its middle */
	struct soft_stubs stubs;
	struct soft_block *blocks;
	uint32_t nblocks;
	struct soft_map *maps;
	uint32_t nmaps, maps_max;
	struct soft_link *links;
	uint32_t nlinks;
	struct soft_site *sites;
	uint32_t nsites, sites_max;
	struct soft_link **cell_links;
	uint32_t ncells;
	struct soft_growth growth[SOFT_NGROWS];
	uint32_t ibtc_key[TLB_NMODES];  /* block key that a table serves */
	uint64_t invalidations;         /* changes whenever a block dies or somebody else drops our write entries */
	uint64_t single_rip;            /* go on here with a block of SOFT_KEY_SINGLE, */
	bool single;                    /* if set */
	/* Hashed by guest physical line: blocks lost to writes, and visits of the interpreter since. */
	struct {
		uint8_t kills, visits;
	} churn[SOFT_CHURN];
	uint8_t heat[SOFT_HEAT];        /* hashed by guest physical address: visits of the interpreter before translation */
	/* Hashed by RIP: how often in quick succession a group crossed pages or could not be cached, and when last. */
	uint8_t group_misses[SOFT_GROUP_MISSES];
	uint64_t group_missed[SOFT_GROUP_MISSES]; /* host TSC */
	uint32_t deferred;              /* request bits held back while interrupts are off */

	/* What must be dropped at a TLB flush, by kind of page. */
	uint32_t *live_cells[2];        /* [global] */
	uint32_t nlive_cells[2];
	uint32_t *live_ibtc[2];         /* mode << 16 | index */
	uint32_t nlive_ibtc[2];
	uint64_t exec_filter[2][1u << SOFT_EXEC_FILTER_BITS >> 6]; /* [global]: hashed pages that are targets of cells or IBTC entries */

	struct cpu_stats stats;
	uint64_t chaos_state;
	struct soft_block *hash[1u << SOFT_HASH_BITS];
	struct soft_block *page_hash[1u << SOFT_PAGE_HASH_BITS];

	/* What is above fits on one huge page; what fills by chance below, the kernel's and the user's tables, on two. */
	LODGE_ALIGNED(HOST_HUGE_PAGE_BYTES) struct soft_ibtc ibtc[TLB_NMODES];
	uint64_t cells[SOFT_CELLS_MAX]; /* targets of links to other pages */
};

_Static_assert(offsetof(struct soft_vcpu, ibtc) == HOST_HUGE_PAGE_BYTES, "the TLB and the tables of blocks share a huge page");
#define SOFT_VCPU_GROWS (3 * HOST_HUGE_PAGE_BYTES)

struct soft_vm {
	struct cpu_vm_config config;
	struct soft_options options;
	bool use_bmi2, use_pext;
	unsigned nvcpus;
	struct soft_vcpu *vcpu[SOFT_VCPUS_MAX];

	/* code_map.c; indexed by RAM page, sparse. */
	uint64_t ram_pages;
	_Atomic uint64_t *code_lines;  /* 64-byte lines that hold translated code of any vcpu */
	_Atomic uint32_t *writers;     /* vcpus that may have a write entry */
	struct host_mutex op_lock;
	_Atomic uint32_t op_active;    /* futex word: vcpus stay out of their engines */
};

static inline unsigned soft_group_miss_index(uint64_t rip)
{
	return hash_bits(rip, SOFT_GROUP_MISSES_BITS);
}

static inline unsigned soft_heat_index(uint64_t gpa)
{
	return hash_bits(gpa, SOFT_HEAT_BITS);
}

static inline unsigned soft_churn_index(uint64_t gpa)
{
	return hash_bits(gpa >> 6, SOFT_CHURN_BITS);
}

/* The translations that @b's memory accesses and branches go by: enum tlb_mode. */
static inline unsigned soft_block_mode(const struct soft_block *b)
{
	return b->key >> SOFT_KEY_TLB_SHIFT & 3;
}

static inline struct soft_vcpu *soft_of(struct x86_cpu *cpu)
{
	return (struct soft_vcpu *)cpu;
}

/* block.c: tables of blocks */
enum lodge_err soft_blocks_init(struct soft_vcpu *v, struct lodge_error *err) LODGE_MUST_CHECK;
void soft_blocks_fini(struct soft_vcpu *v);
struct soft_block *soft_block_find(struct soft_vcpu *v, uint64_t rip, uint64_t gpa, uint32_t key);
struct soft_block *soft_block_alloc(struct soft_vcpu *v);
void soft_block_publish(struct soft_vcpu *v, struct soft_block *b);
void soft_block_kill(struct soft_vcpu *v, struct soft_block *b);
/* Kill blocks that overlap [offset, offset+len) of a RAM page; returns the lines that its remaining blocks cover. */
uint64_t soft_page_invalidate(struct soft_vcpu *v, uint64_t ram_page, unsigned offset, unsigned len);
uint64_t soft_page_lines(struct soft_vcpu *v, uint64_t ram_page);
void soft_flush_all_blocks(struct soft_vcpu *v);
struct soft_block *soft_block_by_code(struct soft_vcpu *v, uint32_t offset);

/* growth.c: huge pages under the code cache and the largest tables */
void soft_growth_init(struct soft_growth *g, void *base, uint64_t bytes);
void soft_growth_step(struct soft_growth *g, uint64_t used);

/* link.c: direct links, cells and the indirect-branch table */
void soft_link_to(struct soft_vcpu *v, struct soft_link *link, struct soft_block *to);
void soft_unlink(struct soft_vcpu *v, struct soft_link *link);
void soft_ibtc_fill(struct soft_vcpu *v, struct soft_block *b);
void soft_ibtc_forget(struct soft_vcpu *v, struct soft_block *b);
void soft_ibtc_select(struct soft_vcpu *v, unsigned mode, uint32_t key);
void soft_on_tlb_flush(struct x86_cpu *cpu, bool global);
void soft_on_tlb_flush_page(struct x86_cpu *cpu, uint64_t lin);
uint64_t soft_link_code(const struct soft_vcpu *v, const struct soft_link *link);

/* shadow.c: paired calls and returns */
enum lodge_err soft_shadow_init(struct soft_vcpu *v, struct lodge_error *err) LODGE_MUST_CHECK;
void soft_shadow_fini(struct soft_vcpu *v);
void soft_shadow_prepare(struct soft_vcpu *v);
void soft_shadow_forget(struct soft_vcpu *v, bool global);
bool soft_shadow_overflow(struct soft_vcpu *v, struct host_fault *fault);

/* code_map.c: the shared map of pages that hold code, and stopping other vcpus */
enum lodge_err soft_code_map_init(struct soft_vm *vm, struct lodge_error *err) LODGE_MUST_CHECK;
void soft_code_map_fini(struct soft_vm *vm);
bool soft_may_cache_write(struct x86_cpu *cpu, uint64_t ram_page);
void soft_on_ram_write(struct x86_cpu *cpu, uint64_t ram_page, unsigned offset, unsigned len);
void soft_memory_written(void *ctx, uint64_t gpa, uint64_t len);
void soft_claim_code(struct soft_vcpu *v, uint64_t ram_page, unsigned offset, unsigned len);
bool soft_code_claimed(const struct soft_vm *vm, uint64_t ram_page, unsigned offset, unsigned len);
void soft_engine_enter(struct soft_vcpu *v);
void soft_engine_leave(struct soft_vcpu *v);

/* inspect.c: tell config.translated of block @b, whose cold code is the last of the cache, or, NULL, of the stubs. */
void soft_translated(struct soft_vcpu *v, const struct soft_block *b, uint32_t hot, uint32_t cold);

/* stubs.c, translate.c, fault.c, engine.c */
void soft_stubs_emit(struct soft_vcpu *v);
uint32_t soft_mode_key(const struct x86_cpu *cpu, bool *translatable);
/* Translate at s.rip, whose page is @itlb_index; NULL: let the interpreter do one instruction. */
struct soft_block *soft_translate(struct soft_vcpu *v, uint32_t key, unsigned itlb, unsigned itlb_index);
bool soft_fault_hook(struct host_fault *fault);
enum cpu_exit soft_run(struct soft_vcpu *v, struct lodge_error *err);
/* Called by generated code. */
typedef uint64_t soft_slow_fn(struct soft_vcpu *v, uint64_t lin, const struct soft_slow_data *data);
soft_slow_fn soft_slow_read, soft_slow_write, soft_slow_group_read, soft_slow_group_write;
uint64_t soft_interp_site(struct soft_vcpu *v, const struct soft_site *site);
/* Interpret the instruction at s.rip with everything x86_step() does. */
void soft_step(struct soft_vcpu *v);

/* env.c: the machine's environment with the engine left around each call */
extern const struct x86_env_ops soft_env_ops;

#endif
