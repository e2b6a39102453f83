/* SPDX-License-Identifier: Apache-2.0 */
/* Data accesses and instruction fetch through the soft TLB (mmu.h). */
#include "cpu/x86/debug.h"
#include "cpu/x86/mmu_internal.h"

/* One load or store of the given width, at any alignment. */
struct LODGE_PACKED __attribute__((may_alias)) host16 { uint16_t v; };
struct LODGE_PACKED __attribute__((may_alias)) host32 { uint32_t v; };
struct LODGE_PACKED __attribute__((may_alias)) host64 { uint64_t v; };

static uint64_t host_load(const uint8_t *p, unsigned size)
{
	switch (size) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return ((const volatile struct host16 *)(const void *)p)->v;
	case 4: return ((const volatile struct host32 *)(const void *)p)->v;
	default: return ((const volatile struct host64 *)(const void *)p)->v;
	}
}

static void host_store(uint8_t *p, unsigned size, uint64_t value)
{
	switch (size) {
	case 1: *(volatile uint8_t *)p = (uint8_t)value; return;
	case 2: ((volatile struct host16 *)(void *)p)->v = (uint16_t)value; return;
	case 4: ((volatile struct host32 *)(void *)p)->v = (uint32_t)value; return;
	default: ((volatile struct host64 *)(void *)p)->v = value; return;
	}
}

static bool crosses_page(uint64_t lin, unsigned len)
{
	return (lin & 0xfff) + len > MEMORY_PAGE_BYTES;
}

/* First byte of the next page; linear addresses wrap at 4 GiB outside long mode. */
static uint64_t next_page(const struct x86_cpu *cpu, uint64_t lin)
{
	uint64_t next = (lin | 0xfff) + 1;

	return (cpu->s.msr.efer & X86_EFER_LMA) ? next : (uint32_t)next;
}

static uint8_t *tlb_lookup(const struct x86_cpu *cpu, uint64_t lin, enum tlb_kind kind, enum tlb_mode mode)
{
	unsigned i = (unsigned)(lin >> MEMORY_PAGE_BITS) & (TLB_ENTRIES - 1);
	const struct x86_tlb_array *a = &cpu->tlb[mode][kind];

	if (likely(a->entry[i].tag == (lin & ~UINT64_C(0xfff))))
		return (uint8_t *)(uintptr_t)(a->entry[i].page + (lin & 0xfff));
	return NULL;
}

static bool resolve(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, enum tlb_mode mode, struct mmu_target *t)
{
	uint8_t *host = tlb_lookup(cpu, lin, access == X86_WRITE ? TLB_WRITE : TLB_READ, mode);

	if (likely(host)) {
		*t = (struct mmu_target){ .host = host, .ram_page = MEMORY_NO_RAM_PAGE };
		return true;
	}
	return mmu_translate(cpu, lin, access, mode, t);
}

/* The largest naturally aligned piece at the start of [gpa, gpa+len). */
static unsigned mmio_piece(uint64_t gpa_v, unsigned len)
{
	unsigned size = 8;

	while (size > len || (gpa_v & (size - 1)))
		size /= 2;
	return size;
}

static void mmio_read(struct x86_cpu *cpu, uint64_t gpa_v, uint8_t *buf, unsigned len)
{
	if (!cpu->env) {
		__builtin_memset(buf, 0xff, len);
		return;
	}
	cpu_leave(cpu);
	while (len) {
		unsigned size = mmio_piece(gpa_v, len);
		uint64_t v = cpu->env->mmio_read(cpu->env_ctx, gpa_v, size);

		cpu->stats.mmio_exits++;
		__builtin_memcpy(buf, &v, size);
		buf += size;
		gpa_v += size;
		len -= size;
	}
}

static void mmio_write(struct x86_cpu *cpu, uint64_t gpa_v, const uint8_t *buf, unsigned len)
{
	if (!cpu->env)
		return;
	cpu_leave(cpu);
	while (len) {
		unsigned size = mmio_piece(gpa_v, len);
		uint64_t v = 0;

		cpu->stats.mmio_exits++;
		__builtin_memcpy(&v, buf, size);
		cpu->env->mmio_write(cpu->env_ctx, gpa_v, size, v);
		buf += size;
		gpa_v += size;
		len -= size;
	}
}

static void target_read(struct x86_cpu *cpu, const struct mmu_target *t, uint8_t *buf, unsigned len)
{
	if (t->host)
		__builtin_memcpy(buf, t->host, len);
	else
		mmio_read(cpu, t->gpa, buf, len);
}

static void target_notify(struct x86_cpu *cpu, const struct mmu_target *t, unsigned len)
{
	if (t->notify)
		cpu->on_ram_write(cpu, t->ram_page, (unsigned)((uintptr_t)t->host & 0xfff), len);
}

static void target_write(struct x86_cpu *cpu, const struct mmu_target *t, const uint8_t *buf, unsigned len)
{
	if (!t->host) {
		mmio_write(cpu, t->gpa, buf, len);
		return;
	}
	__builtin_memcpy(t->host, buf, len);
	target_notify(cpu, t, len);
}

static void watch(struct x86_cpu *cpu, uint64_t lin, unsigned len, bool write)
{
	if (unlikely(cpu->s.dr7 & X86_DR7_ENABLES))
		x86_debug_data_access(cpu, lin, len, write);
}

bool mmu_read_bytes(struct x86_cpu *cpu, uint64_t lin, void *buf, unsigned len, enum tlb_mode mode)
{
	struct mmu_target t, t2;
	unsigned first = len;

	if (!resolve(cpu, lin, X86_READ, mode, &t))
		return false;
	if (crosses_page(lin, len)) {
		first = MEMORY_PAGE_BYTES - (unsigned)(lin & 0xfff);
		if (!resolve(cpu, next_page(cpu, lin), X86_READ, mode, &t2))
			return false;
	}
	watch(cpu, lin, len, false);
	target_read(cpu, &t, buf, first);
	if (first != len)
		target_read(cpu, &t2, (uint8_t *)buf + first, len - first);
	return true;
}

bool mmu_write_bytes(struct x86_cpu *cpu, uint64_t lin, const void *buf, unsigned len, enum tlb_mode mode)
{
	struct mmu_target t, t2;
	unsigned first = len;

	if (!resolve(cpu, lin, X86_WRITE, mode, &t))
		return false;
	if (crosses_page(lin, len)) {
		first = MEMORY_PAGE_BYTES - (unsigned)(lin & 0xfff);
		if (!resolve(cpu, next_page(cpu, lin), X86_WRITE, mode, &t2))
			return false;
	}
	watch(cpu, lin, len, true);
	target_write(cpu, &t, buf, first);
	if (first != len)
		target_write(cpu, &t2, (const uint8_t *)buf + first, len - first);
	return true;
}

/* Alignment checking concerns what the program itself addresses, never system structures. */
static bool aligned(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode)
{
	if (likely(!cpu->align_check) || mode != TLB_USER || !(lin & (size - 1)))
		return true;
	return cpu_fault(cpu, X86_EXC_AC, true, 0);
}

static bool read_slow(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode, uint64_t *value)
{
	struct mmu_target t;

	*value = 0;
	if (crosses_page(lin, size))
		return mmu_read_bytes(cpu, lin, value, size, mode);
	if (!mmu_translate(cpu, lin, X86_READ, mode, &t))
		return false;
	watch(cpu, lin, size, false);
	if (t.host)
		*value = host_load(t.host, size);
	else
		mmio_read(cpu, t.gpa, (uint8_t *)value, size);
	return true;
}

bool mmu_read(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode, uint64_t *value)
{
	const uint8_t *host = tlb_lookup(cpu, lin, TLB_READ, mode);

	if (unlikely(!aligned(cpu, lin, size, mode)))
		return false;
	if (likely(host && !crosses_page(lin, size))) {
		*value = host_load(host, size);
		return true;
	}
	return read_slow(cpu, lin, size, mode, value);
}

static bool write_slow(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode, uint64_t value)
{
	struct mmu_target t;

	if (crosses_page(lin, size))
		return mmu_write_bytes(cpu, lin, &value, size, mode);
	if (!mmu_translate(cpu, lin, X86_WRITE, mode, &t))
		return false;
	watch(cpu, lin, size, true);
	if (t.host) {
		host_store(t.host, size, value);
		target_notify(cpu, &t, size);
	} else {
		mmio_write(cpu, t.gpa, (const uint8_t *)&value, size);
	}
	return true;
}

bool mmu_write(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode, uint64_t value)
{
	uint8_t *host = tlb_lookup(cpu, lin, TLB_WRITE, mode);

	if (unlikely(!aligned(cpu, lin, size, mode)))
		return false;
	if (likely(host && !crosses_page(lin, size))) {
		host_store(host, size, value);
		return true;
	}
	return write_slow(cpu, lin, size, mode, value);
}

bool mmu_probe_write(struct x86_cpu *cpu, uint64_t lin, unsigned len, enum tlb_mode mode)
{
	struct mmu_target t;

	if (!resolve(cpu, lin, X86_WRITE, mode, &t))
		return false;
	return !crosses_page(lin, len) || resolve(cpu, next_page(cpu, lin), X86_WRITE, mode, &t);
}

bool mmu_span(struct x86_cpu *cpu, uint64_t lin, unsigned len, enum x86_access access, enum tlb_mode mode, struct mmu_rmw *out)
{
	struct mmu_target t, t2;

	*out = (struct mmu_rmw){ .size = len, .ram_page = MEMORY_NO_RAM_PAGE };
	if (!resolve(cpu, lin, access, mode, &t))
		return false;
	if (crosses_page(lin, len))
		return resolve(cpu, next_page(cpu, lin), access, mode, &t2);
	if (!t.host)
		return true;
	watch(cpu, lin, len, access == X86_WRITE);
	out->host = t.host;
	out->ram_page = t.ram_page;
	out->offset = (unsigned)(lin & 0xfff);
	out->notify = t.notify;
	return true;
}

bool mmu_rmw_begin(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum tlb_mode mode, struct mmu_rmw *out)
{
	return aligned(cpu, lin, size, mode) && mmu_span(cpu, lin, size, X86_WRITE, mode, out);
}

void mmu_rmw_end(struct x86_cpu *cpu, const struct mmu_rmw *rmw)
{
	if (rmw->notify)
		cpu->on_ram_write(cpu, rmw->ram_page, rmw->offset, rmw->size);
}

static bool fetch_page(struct x86_cpu *cpu, uint64_t lin, uint8_t *buf, unsigned len)
{
	const struct x86_tlb_exec *t = &cpu->itlb[cpu->cpl == 3];
	unsigned i;

	if (!mmu_exec_entry(cpu, lin, &i))
		return false;
	if (t->hva[i])
		__builtin_memcpy(buf, t->hva[i] + (lin & 0xfff), len);
	else
		__builtin_memset(buf, 0xff, len);
	return true;
}

bool mmu_fetch(struct x86_cpu *cpu, uint64_t lin, uint8_t *buf, unsigned len, unsigned *got)
{
	unsigned first = len;

	if (crosses_page(lin, len))
		first = MEMORY_PAGE_BYTES - (unsigned)(lin & 0xfff);
	*got = 0;
	if (!fetch_page(cpu, lin, buf, first))
		return false;
	*got = first;
	if (first != len && fetch_page(cpu, cpu->long_mode ? (lin | 0xfff) + 1 : (uint32_t)((lin | 0xfff) + 1), buf + first, len - first))
		*got = len;
	return true;
}
