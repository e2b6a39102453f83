/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the LAPIC's own files. */
#ifndef LODGE_DEVICES_IRQ_LAPIC_INTERNAL_H
#define LODGE_DEVICES_IRQ_LAPIC_INTERNAL_H

#include "devices/irq/lapic.h"

/* Register numbers: xAPIC offset / 16, x2APIC MSR - 800h. */
enum lapic_register {
	REG_ID = 0x02, REG_VERSION = 0x03, REG_TPR = 0x08, REG_APR = 0x09, REG_PPR = 0x0a, REG_EOI = 0x0b, REG_RRD = 0x0c,
	REG_LDR = 0x0d, REG_DFR = 0x0e, REG_SVR = 0x0f, REG_ISR = 0x10, REG_TMR = 0x18, REG_IRR = 0x20, REG_ESR = 0x28,
	REG_ICR_LOW = 0x30, REG_ICR_HIGH = 0x31, REG_LVT_TIMER = 0x32, REG_LVT_ERROR = 0x37, REG_TIMER_INITIAL = 0x38,
	REG_TIMER_CURRENT = 0x39, REG_TIMER_DIVIDE = 0x3e, REG_SELF_IPI = 0x3f,
};

#define APIC_BASE_BSP UINT64_C(0x100)
#define APIC_BASE_X2APIC UINT64_C(0x400)
#define APIC_BASE_ENABLE UINT64_C(0x800)
#define APIC_BASE_DEFAULT UINT64_C(0xfee00000)
#define APIC_BASE_MODE (APIC_BASE_X2APIC | APIC_BASE_ENABLE)

#define SVR_ENABLE 0x100u
#define SVR_WRITABLE 0x3ffu
#define LVT_MASKED 0x10000u
#define LVT_TIMER_MODE 0x60000u
#define LVT_TIMER_PERIODIC 0x20000u
#define LVT_TIMER_DEADLINE 0x40000u
#define LVT_DELIVERY(lvt) ((lvt) >> 8 & 7)

#define ESR_SEND_ACCEPT 0x04u
#define ESR_SEND_ILLEGAL 0x20u
#define ESR_RECEIVE_ILLEGAL 0x40u
#define ESR_ILLEGAL_REGISTER 0x80u

#define VECTOR_MIN 16 /* below: reserved for exceptions, an error */

/* lapic.match */
#define MATCH_LDR 0xffu
#define MATCH_FLAT 0x100u
#define MATCH_ENABLED 0x200u
#define MATCH_X2APIC 0x400u
#define MATCH_SOFT_ENABLED 0x800u
#define MATCH_PRIORITY_SHIFT 16

static inline bool lapic_is_enabled(const struct lapic *l) { return l->state.apic_base & APIC_BASE_ENABLE; }
static inline bool lapic_is_x2apic(const struct lapic *l) { return (l->state.apic_base & APIC_BASE_MODE) == APIC_BASE_MODE; }
static inline uint32_t lapic_timer_mode(const struct lapic *l) { return l->state.lvt[LAPIC_LVT_TIMER] & LVT_TIMER_MODE; }
static inline void bitmap_set(uint32_t map[LAPIC_VECTOR_WORDS], unsigned v) { map[v / 32] |= UINT32_C(1) << (v % 32); }
static inline void bitmap_clear(uint32_t map[LAPIC_VECTOR_WORDS], unsigned v) { map[v / 32] &= ~(UINT32_C(1) << (v % 32)); }
static inline bool bitmap_test(const uint32_t map[LAPIC_VECTOR_WORDS], unsigned v) { return map[v / 32] >> (v % 32) & 1; }
static inline int bitmap_highest(const uint32_t map[LAPIC_VECTOR_WORDS])
{
	for (int word = LAPIC_VECTOR_WORDS - 1; word >= 0; word--)
		if (map[word])
			return word * 32 + 31 - __builtin_clz(map[word]);
	return -1;
}

/* lapic.c: fold in what other threads set. */
void lapic_sync(struct lapic *l);
void lapic_publish_match(struct lapic *l);
/* An error for the ESR; may raise the error LVT. vcpu thread. */
void lapic_error(struct lapic *l, uint32_t bits);
/* Ask the engine to look if something became deliverable. */
void lapic_notify_self(struct lapic *l);
/* Put a fixed interrupt of our own into IRR (LVT entries). */
void lapic_accept_local(struct lapic *l, uint32_t lvt);
uint32_t lapic_ppr(const struct lapic *l);

/* lapic_registers.c */
void lapic_reset_registers(struct lapic *l);

/* lapic_deliver.c */
void lapic_ask(struct lapic *l, enum lapic_request what, uint32_t arg);
void lapic_send_icr(struct lapic *l);
/* One message to one LAPIC, destination already matched. Any thread. */
bool lapic_take(struct lapic *l, const struct apic_message *message);

/* lapic_timer.c */
void lapic_timer_init(struct lapic *l);
void lapic_timer_stop(struct lapic *l);
void lapic_timer_expire(struct lapic *l); /* from lapic_sync() */
void lapic_timer_resume(struct lapic *l); /* arm again after set_state */
void lapic_timer_write_initial(struct lapic *l, uint32_t value);
void lapic_timer_write_divide(struct lapic *l, uint32_t value);
void lapic_timer_write_deadline(struct lapic *l, uint64_t tsc);
uint32_t lapic_timer_current(const struct lapic *l);

#endif
