/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local APIC's life and its interrupt acceptance: IRR, ISR, priorities,
 * EOI, and KVM's paravirtual EOI.
 *
 * Paravirtual EOI: when the interrupt just taken is edge triggered and nothing
 * else waits, a flag in guest memory tells the guest that it may clear the flag
 * instead of writing EOI. Guest and LAPIC run on one thread, so a look at the
 * flag before every decision is enough. The offer is withdrawn as soon as
 * something else waits, because then a real EOI must make us look.
 */
#include "devices/irq/lapic_internal.h"

#define PV_EOI_ON UINT64_C(1)
#define PV_EOI_ADDR(msr) ((msr) & ~UINT64_C(3))

void lapic_publish_match(struct lapic *l)
{
	const struct lapic_state *s = &l->state;
	uint32_t match = s->ldr >> 24 | (s->dfr >> 28 == 0xf ? MATCH_FLAT : 0) | s->tpr >> 4 << MATCH_PRIORITY_SHIFT;

	match |= (lapic_is_enabled(l) ? MATCH_ENABLED : 0) | (lapic_is_x2apic(l) ? MATCH_X2APIC : 0);
	match |= s->svr & SVR_ENABLE ? MATCH_SOFT_ENABLED : 0;
	atomic_store_explicit(&l->match, match, memory_order_release);
}

static void lapic_drop_pending(struct lapic *l)
{
	for (unsigned i = 0; i < LAPIC_VECTOR_WORDS; i++) {
		atomic_store(&l->pending_edge[i], 0);
		atomic_store(&l->pending_level[i], 0);
	}
	atomic_store(&l->pending_errors, 0);
	atomic_store(&l->timer_fired, 0);
	atomic_store(&l->lint0_edge, 0);
	atomic_store(&l->lint1_edge, 0);
	atomic_store(&l->incoming, 0);
}

void lapic_init(struct lapic *l, const struct lapic_config *config)
{
	*l = (struct lapic){ .config = *config };
	if (!l->config.timer_khz)
		l->config.timer_khz = 1000000;
	if (!l->config.gpa_bits)
		l->config.gpa_bits = 40;
	lapic_timer_init(l);
	lapic_reset(l);
}

void lapic_fini(struct lapic *l)
{
	if (l->timer.service)
		timer_disarm(&l->timer);
}

void lapic_reset(struct lapic *l)
{
	l->state.apic_base = APIC_BASE_DEFAULT | APIC_BASE_ENABLE | (l->config.bsp ? APIC_BASE_BSP : 0);
	lapic_init_signal(l);
}

void lapic_init_signal(struct lapic *l)
{
	lapic_timer_stop(l);
	lapic_drop_pending(l);
	lapic_reset_registers(l);
	lapic_publish_match(l);
}

void lapic_set_virtual_wire(struct lapic *l)
{
	l->state.svr |= SVR_ENABLE;
	if (l->config.bsp)
		l->state.lvt[LAPIC_LVT_LINT0] = APIC_EXTINT << 8;
	l->state.lvt[LAPIC_LVT_LINT1] = APIC_NMI << 8;
	lapic_publish_match(l);
}

/* ---- what arrived ---- */

void lapic_accept_local(struct lapic *l, uint32_t lvt)
{
	unsigned vector = lvt & 0xff;

	if (lvt & LVT_MASKED)
		return;
	if (LVT_DELIVERY(lvt) == APIC_NMI) {
		lapic_ask(l, LAPIC_REQ_NMI, 0);
		return;
	}
	if (LVT_DELIVERY(lvt) != APIC_FIXED)
		return;
	if (vector < VECTOR_MIN) {
		l->state.esr_pending |= ESR_RECEIVE_ILLEGAL;
		return;
	}
	bitmap_set(l->state.irr, vector);
	bitmap_clear(l->state.tmr, vector);
}

void lapic_error(struct lapic *l, uint32_t bits)
{
	uint32_t before = l->state.esr_pending;

	l->state.esr_pending |= bits;
	if (before != l->state.esr_pending) {
		lapic_accept_local(l, l->state.lvt[LAPIC_LVT_ERROR]);
		lapic_notify_self(l);
	}
}

void lapic_sync(struct lapic *l)
{
	struct lapic_state *s = &l->state;
	uint32_t errors;

	if (!atomic_load_explicit(&l->incoming, memory_order_relaxed) || !atomic_exchange(&l->incoming, 0))
		return;
	for (unsigned i = 0; i < LAPIC_VECTOR_WORDS; i++) {
		uint32_t edge = atomic_exchange(&l->pending_edge[i], 0), level = atomic_exchange(&l->pending_level[i], 0);

		s->irr[i] |= edge | level;
		s->tmr[i] = (s->tmr[i] & ~edge) | level;
	}
	if (atomic_exchange(&l->timer_fired, 0))
		lapic_timer_expire(l);
	s->lint0 = atomic_load(&l->lint0_level);
	if (atomic_exchange(&l->lint0_edge, 0))
		lapic_accept_local(l, s->lvt[LAPIC_LVT_LINT0]);
	if (atomic_exchange(&l->lint1_edge, 0))
		lapic_accept_local(l, s->lvt[LAPIC_LVT_LINT1]);
	errors = atomic_exchange(&l->pending_errors, 0);
	if (errors & ~s->esr_pending) {
		s->esr_pending |= errors;
		lapic_accept_local(l, s->lvt[LAPIC_LVT_ERROR]);
	}
}

/* ---- priorities ---- */

uint32_t lapic_ppr(const struct lapic *l)
{
	int isr = bitmap_highest(l->state.isr);
	uint32_t in_service = isr < 0 ? 0 : (uint32_t)isr & 0xf0;

	return in_service > (l->state.tpr & 0xf0) ? in_service : l->state.tpr;
}

/* The vector that would be taken now, -1: none. */
static int lapic_deliverable(const struct lapic *l)
{
	int irr = bitmap_highest(l->state.irr);

	if (irr < 0 || !lapic_is_enabled(l) || ((uint32_t)irr & 0xf0) <= (lapic_ppr(l) & 0xf0))
		return -1;
	return irr;
}

/* The 8259's interrupt: through LINT0 in virtual wire mode, or past a LAPIC that is switched off. */
static bool lapic_extint_pending(const struct lapic *l)
{
	uint32_t lvt = l->state.lvt[LAPIC_LVT_LINT0];

	if (!l->config.extint_ack || !atomic_load_explicit(&l->lint0_level, memory_order_acquire))
		return false;
	return !lapic_is_enabled(l) || (!(lvt & LVT_MASKED) && LVT_DELIVERY(lvt) == APIC_EXTINT);
}

void lapic_notify_self(struct lapic *l)
{
	if (lapic_extint_pending(l) || lapic_deliverable(l) >= 0)
		lapic_ask(l, LAPIC_REQ_INTR, 0);
}

/* ---- end of interrupt ---- */

static void lapic_retire(struct lapic *l)
{
	int vector = bitmap_highest(l->state.isr);

	if (vector < 0)
		return;
	bitmap_clear(l->state.isr, (unsigned)vector);
	if (bitmap_test(l->state.tmr, (unsigned)vector) && l->config.eoi)
		l->config.eoi(l->config.ctx, (uint8_t)vector);
}

static void lapic_pv_eoi_offer(struct lapic *l, unsigned vector)
{
	static const uint8_t flag = 1;
	uint64_t msr = l->config.pv_eoi_msr ? *l->config.pv_eoi_msr : 0;

	if (!(msr & PV_EOI_ON) || bitmap_test(l->state.tmr, vector) || bitmap_highest(l->state.irr) >= 0)
		return;
	l->state.pv_eoi_offered = guest_write(l->config.mem, gpa(PV_EOI_ADDR(msr)), &flag, 1) == LODGE_OK;
}

/* Has the guest used the offer? Then the interrupt is over. Otherwise it stands, unless @withdraw or something waits. */
static void lapic_pv_eoi_check(struct lapic *l, bool withdraw)
{
	static const uint8_t no_flag = 0;
	uint64_t msr = l->config.pv_eoi_msr ? *l->config.pv_eoi_msr : 0;
	uint8_t flag = 1;

	if (!l->state.pv_eoi_offered)
		return;
	if (!(msr & PV_EOI_ON) || guest_read(l->config.mem, gpa(PV_EOI_ADDR(msr)), &flag, 1)) {
		l->state.pv_eoi_offered = 0;
		return;
	}
	if (!(flag & 1)) {
		l->state.pv_eoi_offered = 0;
		lapic_retire(l);
		return;
	}
	if (!withdraw && bitmap_highest(l->state.irr) < 0)
		return;
	l->state.pv_eoi_offered = 0;
	(void)!guest_write(l->config.mem, gpa(PV_EOI_ADDR(msr)), &no_flag,
			   1); /* it was readable a moment ago; a lost page is the guest's own doing */
}

void lapic_pv_eoi_settle(struct lapic *l)
{
	lapic_pv_eoi_check(l, true);
	lapic_notify_self(l);
}

void lapic_eoi(struct lapic *l)
{
	lapic_pv_eoi_check(l, true);
	lapic_retire(l);
	lapic_notify_self(l);
}

/* ---- the engine's side ---- */

bool lapic_pending(struct lapic *l)
{
	lapic_sync(l);
	lapic_pv_eoi_check(l, false);
	return lapic_extint_pending(l) || lapic_deliverable(l) >= 0;
}

int lapic_ack(struct lapic *l)
{
	int vector;

	lapic_sync(l);
	lapic_pv_eoi_check(l, false);
	if (lapic_extint_pending(l))
		return l->config.extint_ack(l->config.ctx);
	vector = lapic_deliverable(l);
	if (vector < 0)
		return -1;
	lapic_pv_eoi_check(l, true);
	bitmap_clear(l->state.irr, (unsigned)vector);
	bitmap_set(l->state.isr, (unsigned)vector);
	lapic_pv_eoi_offer(l, (unsigned)vector);
	return vector;
}

uint64_t lapic_cr8_read(const struct lapic *l)
{
	return l->state.tpr >> 4;
}

void lapic_cr8_write(struct lapic *l, uint64_t value)
{
	bool lower = (value & 0xf) << 4 < l->state.tpr;

	l->state.tpr = (uint32_t)(value & 0xf) << 4;
	lapic_publish_match(l);
	if (lower)
		lapic_notify_self(l);
}

/* ---- saved state ---- */

void lapic_get_state(struct lapic *l, struct lapic_state *out)
{
	lapic_sync(l);
	*out = l->state;
}

enum lodge_err lapic_set_state(struct lapic *l, const struct lapic_state *in)
{
	uint64_t mode = in->apic_base & APIC_BASE_MODE;
	uint64_t known = ((UINT64_C(1) << l->config.gpa_bits) - 1) & (~UINT64_C(0xfff) | APIC_BASE_BSP | APIC_BASE_MODE);

	if (in->id != l->config.id || (in->apic_base & ~known) || mode == APIC_BASE_X2APIC ||
	    (mode == APIC_BASE_MODE && !l->config.x2apic))
		return LODGE_ERR_FORMAT;
	if (in->tpr > 0xff || (in->timer_divide & ~0xbu) || in->timer_armed > 1 || in->pv_eoi_offered > 1 || in->lint0 > 1)
		return LODGE_ERR_FORMAT;
	if ((in->isr[0] | in->irr[0]) & 0xffff) /* reserved vectors can't be there */
		return LODGE_ERR_FORMAT;
	if (in->pv_eoi_offered && !l->config.mem)
		return LODGE_ERR_FORMAT;
	lapic_timer_stop(l);
	lapic_drop_pending(l);
	l->state = *in;
	atomic_store(&l->lint0_level, in->lint0);
	lapic_publish_match(l);
	lapic_timer_resume(l);
	lapic_notify_self(l);
	return LODGE_OK;
}
