/* SPDX-License-Identifier: Apache-2.0 */
/* The local APIC's registers as the guest sees them: the xAPIC page, the x2APIC MSRs, IA32_APIC_BASE. */
#include "devices/irq/lapic_internal.h"

#define MSR_APIC_BASE 0x1bu
#define MSR_TSC_DEADLINE 0x6e0u
#define MSR_X2APIC 0x800u
#define VERSION (0x14u | (LAPIC_LVTS - 1u) << 16)

static const uint32_t lvt_writable[LAPIC_LVTS] = {
	[LAPIC_LVT_TIMER] = 0x700ff, [LAPIC_LVT_THERMAL] = 0x107ff, [LAPIC_LVT_PERF] = 0x107ff,
	[LAPIC_LVT_LINT0] = 0x1a7ff, [LAPIC_LVT_LINT1] = 0x1a7ff, [LAPIC_LVT_ERROR] = 0x100ff,
};
#define LVT_READ_ONLY 0x5000u /* delivery status, remote IRR: a write-back of what was read is no error */

void lapic_reset_registers(struct lapic *l)
{
	struct lapic_state *s = &l->state;

	*s = (struct lapic_state){ .apic_base = s->apic_base, .id = l->config.id, .dfr = UINT32_MAX, .svr = 0xff };
	for (unsigned i = 0; i < LAPIC_LVTS; i++)
		s->lvt[i] = LVT_MASKED;
	s->lint0 = atomic_load(&l->lint0_level);
}

static uint32_t lapic_ldr(const struct lapic *l)
{
	if (lapic_is_x2apic(l))
		return (l->config.id >> 4) << 16 | UINT32_C(1) << (l->config.id & 15);
	return l->state.ldr;
}

static bool lapic_reg_read(struct lapic *l, unsigned reg, uint32_t *value)
{
	const struct lapic_state *s = &l->state;

	if (reg >= REG_ISR && reg < REG_IRR + LAPIC_VECTOR_WORDS) {
		lapic_sync(l);
		*value = reg < REG_TMR ? s->isr[reg - REG_ISR] : reg < REG_IRR ? s->tmr[reg - REG_TMR] : s->irr[reg - REG_IRR];
		return true;
	}
	if (reg >= REG_LVT_TIMER && reg <= REG_LVT_ERROR) {
		*value = s->lvt[reg - REG_LVT_TIMER];
		return true;
	}
	switch (reg) {
	case REG_ID: *value = lapic_is_x2apic(l) ? l->config.id : l->config.id << 24; return true;
	case REG_VERSION: *value = VERSION; return true;
	case REG_TPR: *value = s->tpr; return true;
	case REG_PPR: *value = lapic_ppr(l); return true;
	case REG_LDR: *value = lapic_ldr(l); return true;
	case REG_SVR: *value = s->svr; return true;
	case REG_ESR: *value = s->esr; return true;
	case REG_ICR_LOW: *value = s->icr_low; return true;
	case REG_TIMER_INITIAL: *value = s->timer_initial; return true;
	case REG_TIMER_CURRENT: *value = lapic_timer_current(l); return true;
	case REG_TIMER_DIVIDE: *value = s->timer_divide; return true;
	default: return false;
	}
}

/* Those that exist in xAPIC mode only. */
static bool lapic_reg_read_xapic(struct lapic *l, unsigned reg, uint32_t *value)
{
	switch (reg) {
	case REG_APR:
	case REG_RRD:
	case REG_EOI: *value = 0; return true;
	case REG_DFR: *value = l->state.dfr; return true;
	case REG_ICR_HIGH: *value = l->state.icr_high; return true;
	default: return lapic_reg_read(l, reg, value);
	}
}

static void lapic_write_lvt(struct lapic *l, unsigned index, uint32_t value)
{
	struct lapic_state *s = &l->state;
	uint32_t before = s->lvt[index];

	value &= lvt_writable[index];
	if (!(s->svr & SVR_ENABLE))
		value |= LVT_MASKED;
	if (index == LAPIC_LVT_TIMER) {
		if ((value & LVT_TIMER_DEADLINE) && (!l->config.tsc_deadline || (value & LVT_TIMER_PERIODIC)))
			value &= ~LVT_TIMER_MODE;
		if ((value ^ before) & LVT_TIMER_DEADLINE) {
			lapic_timer_stop(l);
			s->tsc_deadline = 0;
			s->timer_initial = 0;
		}
	}
	s->lvt[index] = value;
	if (index == LAPIC_LVT_LINT0)
		lapic_notify_self(l);
}

static void lapic_write_svr(struct lapic *l, uint32_t value)
{
	struct lapic_state *s = &l->state;

	s->svr = value & SVR_WRITABLE;
	if (!(s->svr & SVR_ENABLE))
		for (unsigned i = 0; i < LAPIC_LVTS; i++)
			s->lvt[i] |= LVT_MASKED;
	lapic_publish_match(l);
}

static void lapic_write_tpr(struct lapic *l, uint32_t value)
{
	bool lower = (value & 0xff) < l->state.tpr;

	l->state.tpr = value & 0xff;
	lapic_publish_match(l);
	if (lower)
		lapic_notify_self(l);
}

static bool lapic_reg_write(struct lapic *l, unsigned reg, uint32_t value)
{
	struct lapic_state *s = &l->state;

	if (reg >= REG_LVT_TIMER && reg <= REG_LVT_ERROR) {
		lapic_write_lvt(l, reg - REG_LVT_TIMER, value);
		return true;
	}
	switch (reg) {
	case REG_TPR: lapic_write_tpr(l, value); return true;
	case REG_EOI: lapic_eoi(l); return true;
	case REG_SVR: lapic_write_svr(l, value); return true;
	case REG_ESR:
		lapic_sync(l);
		s->esr = s->esr_pending;
		s->esr_pending = 0;
		return true;
	case REG_ICR_LOW:
		s->icr_low = value & 0xccfff;
		lapic_send_icr(l);
		return true;
	case REG_TIMER_INITIAL: lapic_timer_write_initial(l, value); return true;
	case REG_TIMER_DIVIDE: lapic_timer_write_divide(l, value); return true;
	default: return false;
	}
}

static bool lapic_reg_write_xapic(struct lapic *l, unsigned reg, uint32_t value)
{
	struct lapic_state *s = &l->state;

	switch (reg) {
	case REG_ID: return true; /* fixed, as in current processors */
	case REG_LDR: s->ldr = value & 0xff000000; break;
	case REG_DFR: s->dfr = value | 0x0fffffff; break;
	case REG_ICR_HIGH: s->icr_high = value & 0xff000000; return true;
	default: return lapic_reg_write(l, reg, value);
	}
	lapic_publish_match(l);
	return true;
}

/* ---- the page ---- */

bool lapic_claims(const struct lapic *l, uint64_t gpa)
{
	return (l->state.apic_base & APIC_BASE_MODE) == APIC_BASE_ENABLE &&
	       gpa - (l->state.apic_base & ~UINT64_C(0xfff)) < LAPIC_PAGE_BYTES;
}

uint64_t lapic_mmio_read(struct lapic *l, uint64_t offset, unsigned size)
{
	uint32_t value = 0;

	/* Registers are 32 bits wide at multiples of 16; what lies between reads as zero. */
	if (offset >= LAPIC_PAGE_BYTES || (offset & 0xc) || (offset & 3) + MIN(size, 4u) > 4)
		return 0;
	if (offset >= 0x400 || !lapic_reg_read_xapic(l, (unsigned)(offset >> 4), &value)) {
		lapic_error(l, ESR_ILLEGAL_REGISTER);
		return 0;
	}
	value >>= 8 * (offset & 3);
	return size >= 4 ? value : value & ((UINT32_C(1) << (8 * size)) - 1);
}

void lapic_mmio_write(struct lapic *l, uint64_t offset, unsigned size, uint64_t value)
{
	if (offset >= LAPIC_PAGE_BYTES || (offset & 0xf) || size < 4)
		return;
	if (offset >= 0x400 || !lapic_reg_write_xapic(l, (unsigned)(offset >> 4), (uint32_t)value))
		lapic_error(l, ESR_ILLEGAL_REGISTER);
}

/* ---- MSRs ---- */

static bool lapic_write_base(struct lapic *l, uint64_t value)
{
	struct lapic_state *s = &l->state;
	uint64_t allowed = ((UINT64_C(1) << l->config.gpa_bits) - 1) & ~UINT64_C(0xfff);
	uint64_t from = s->apic_base & APIC_BASE_MODE, to = value & APIC_BASE_MODE;

	allowed |= APIC_BASE_BSP | APIC_BASE_ENABLE | (l->config.x2apic ? APIC_BASE_X2APIC : 0);
	if (value & ~allowed)
		return false;
	/* The x2APIC state machine: in only from xAPIC mode, out only by switching off. */
	if (to == APIC_BASE_X2APIC || (to == APIC_BASE_MODE && !from) || (from == APIC_BASE_MODE && to == APIC_BASE_ENABLE))
		return false;
	s->apic_base = (value & ~APIC_BASE_BSP) | (l->config.bsp ? APIC_BASE_BSP : 0);
	if (from && !to) {
		lapic_timer_stop(l);
		lapic_reset_registers(l);
	}
	lapic_publish_match(l);
	return true;
}

static bool lapic_x2apic_read(struct lapic *l, unsigned reg, uint64_t *value)
{
	uint32_t low;

	if (!lapic_reg_read(l, reg, &low))
		return false;
	*value = low;
	if (reg == REG_ICR_LOW)
		*value |= (uint64_t)l->state.icr_high << 32;
	return true;
}

static bool lapic_x2apic_value_ok(unsigned reg, uint64_t value)
{
	if (reg == REG_ICR_LOW)
		return true;
	if (reg >= REG_LVT_TIMER && reg <= REG_LVT_ERROR)
		return !(value & ~(uint64_t)(lvt_writable[reg - REG_LVT_TIMER] | LVT_READ_ONLY));
	switch (reg) {
	case REG_EOI:
	case REG_ESR: return !value;
	case REG_TPR:
	case REG_SELF_IPI: return value <= 0xff;
	case REG_SVR: return value <= SVR_WRITABLE;
	case REG_TIMER_DIVIDE: return !(value & ~UINT64_C(0xb));
	default: return value <= UINT32_MAX;
	}
}

static bool lapic_x2apic_write(struct lapic *l, unsigned reg, uint64_t value)
{
	struct apic_message self = { .delivery = APIC_FIXED, .vector = (uint8_t)value };

	if (!lapic_x2apic_value_ok(reg, value))
		return false;
	if (reg == REG_SELF_IPI) {
		if (self.vector < VECTOR_MIN)
			lapic_error(l, ESR_SEND_ILLEGAL);
		else
			lapic_take(l, &self);
		return true;
	}
	if (reg == REG_ICR_LOW)
		l->state.icr_high = (uint32_t)(value >> 32);
	return lapic_reg_write(l, reg, (uint32_t)value);
}

bool lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *value)
{
	if (msr == MSR_APIC_BASE) {
		*value = l->state.apic_base;
		return true;
	}
	if (msr == MSR_TSC_DEADLINE) {
		lapic_sync(l);
		*value = l->state.tsc_deadline;
		return l->config.tsc_deadline;
	}
	return msr - MSR_X2APIC < 0x100 && lapic_is_x2apic(l) && lapic_x2apic_read(l, msr - MSR_X2APIC, value);
}

bool lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value)
{
	if (msr == MSR_APIC_BASE)
		return lapic_write_base(l, value);
	if (msr == MSR_TSC_DEADLINE) {
		lapic_timer_write_deadline(l, value);
		return l->config.tsc_deadline;
	}
	return msr - MSR_X2APIC < 0x100 && lapic_is_x2apic(l) && lapic_x2apic_write(l, msr - MSR_X2APIC, value);
}
