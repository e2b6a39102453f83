/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC of one vcpu: xAPIC registers in a 4 KiB page, x2APIC registers as
 * MSRs, the timer (one-shot, periodic, TSC deadline), and KVM's paravirtual EOI.
 *
 * Threads: `state` belongs to the vcpu's thread. Others reach a LAPIC only by
 * lapic_bus_deliver(), lapic_set_lint0() and lapic_pulse_lint1(), which set
 * atomic words and call config.request; the vcpu's thread folds those words
 * into the registers whenever it looks. Create, reset, state transfer: with
 * the vcpu stopped.
 */
#ifndef LODGE_DEVICES_IRQ_LAPIC_H
#define LODGE_DEVICES_IRQ_LAPIC_H

#include "devices/device.h"
#include "devices/irq/apic_message.h"
#include "memory/guest_memory.h"

#define LAPIC_BUS_MAX 16
#define LAPIC_PAGE_BYTES 4096u
#define LAPIC_VECTOR_WORDS 8
#define LAPIC_STATE_VERSION 1u

enum lapic_request { LAPIC_REQ_INTR, LAPIC_REQ_NMI, LAPIC_REQ_INIT, LAPIC_REQ_SIPI };
enum lapic_lvt {
	LAPIC_LVT_TIMER,
	LAPIC_LVT_THERMAL,
	LAPIC_LVT_PERF,
	LAPIC_LVT_LINT0,
	LAPIC_LVT_LINT1,
	LAPIC_LVT_ERROR,
	LAPIC_LVTS
};

struct lapic_state {
	uint64_t apic_base; /* IA32_APIC_BASE */
	uint32_t id;
	uint32_t tpr, ldr, dfr, svr;
	uint32_t isr[LAPIC_VECTOR_WORDS], tmr[LAPIC_VECTOR_WORDS], irr[LAPIC_VECTOR_WORDS];
	uint32_t esr, esr_pending; /* latched by an ESR write; collected since */
	uint32_t icr_low, icr_high;
	uint32_t lvt[LAPIC_LVTS];
	uint32_t timer_initial, timer_divide;
	uint32_t timer_armed;      /* 0, 1: a deadline runs */
	uint64_t timer_start_ns;   /* VM clock: when the present countdown began */
	uint64_t timer_deadline_ns;
	uint64_t tsc_deadline;     /* IA32_TSC_DEADLINE */
	uint32_t pv_eoi_offered;   /* the guest's flag says "no EOI needed" */
	uint32_t lint0;            /* level of the input */
};

struct lapic_config {
	uint32_t id; /* vcpu number */
	bool bsp;
	bool x2apic;            /* offered by the CPU model */
	bool tsc_deadline;
	uint8_t gpa_bits;       /* physical address width, for IA32_APIC_BASE; 0: 40 */
	uint32_t timer_khz;     /* before the divider; 0: 1 GHz */
	const struct timer_service *timers;
	/* Any thread: make the vcpu look. @arg: start-up vector of LAPIC_REQ_SIPI. */
	void (*request)(void *ctx, unsigned vcpu, enum lapic_request what, uint32_t arg);
	/* EOI of a level-triggered @vector, to the IO-APIC. vcpu thread; may be NULL. */
	void (*eoi)(void *ctx, uint8_t vector);
	/* Acknowledge the 8259 behind LINT0: its vector. vcpu thread; may be NULL (then no ExtINT). */
	uint8_t (*extint_ack)(void *ctx);
	uint64_t (*tsc_to_ns)(void *ctx, unsigned vcpu, uint64_t guest_tsc); /* guest TSC -> the timers' clock */
	void *ctx;
	/* Paravirtual EOI: the MSR's current value (KVM_PV_EOI_EN: bit 0 on, address above), NULL: not offered. */
	const uint64_t *pv_eoi_msr;
	struct guest_memory *mem;
};

struct lapic_bus;

struct lapic {
	struct lapic_config config;
	struct lapic_state state; /* vcpu thread */
	struct timer timer;
	struct lapic_bus *bus;

	/* Set by any thread, drained by the vcpu's. */
	_Atomic uint32_t pending_edge[LAPIC_VECTOR_WORDS], pending_level[LAPIC_VECTOR_WORDS];
	_Atomic uint32_t pending_errors;
	_Atomic uint32_t timer_fired;
	_Atomic uint32_t lint0_level, lint0_edge, lint1_edge;
	_Atomic uint32_t incoming; /* something of the above is set */

	/* For senders: what decides whether a message is for us. Written by the vcpu's thread. */
	_Atomic uint32_t match;
};

/* All LAPICs of a machine. Filled before the first vcpu runs. */
struct lapic_bus {
	unsigned n;
	struct lapic *lapics[LAPIC_BUS_MAX];
	_Atomic uint32_t turn; /* lowest priority: who is next among equals */
};

void lapic_init(struct lapic *l, const struct lapic_config *config);
void lapic_fini(struct lapic *l);
/* Power-on or machine reset. */
void lapic_reset(struct lapic *l);
/* INIT: as reset, but IA32_APIC_BASE stays. vcpu thread. */
void lapic_init_signal(struct lapic *l);
/* What firmware leaves behind for a directly booted kernel: enabled, LINT0 = ExtINT (BSP), LINT1 = NMI. After reset. */
void lapic_set_virtual_wire(struct lapic *l);

void lapic_bus_init(struct lapic_bus *bus);
enum lodge_err lapic_bus_add(struct lapic_bus *bus, struct lapic *l) LODGE_MUST_CHECK;
/* apic_sink.deliver with the bus as ctx. Any thread. */
bool lapic_bus_deliver(void *bus, const struct apic_message *message);

/* Does a physical address belong to this LAPIC's page now (xAPIC mode)? vcpu thread, like all that follow. */
bool lapic_claims(const struct lapic *l, uint64_t gpa);
uint64_t lapic_mmio_read(struct lapic *l, uint64_t offset, unsigned size);
void lapic_mmio_write(struct lapic *l, uint64_t offset, unsigned size, uint64_t value);
/* IA32_APIC_BASE, IA32_TSC_DEADLINE, 800h..8ffh; false: #GP. */
bool lapic_msr_read(struct lapic *l, uint32_t msr, uint64_t *value);
bool lapic_msr_write(struct lapic *l, uint32_t msr, uint64_t value);

bool lapic_pending(struct lapic *l);
/* Take the highest deliverable interrupt; -1: gone. */
int lapic_ack(struct lapic *l);
void lapic_eoi(struct lapic *l);

/*
 * The register behind config.pv_eoi_msr is about to change: an offer that the guest has used ends its interrupt now, as
 * nobody could tell later; one that it has not is withdrawn. The vcpu's own thread.
 */
void lapic_pv_eoi_settle(struct lapic *l);
uint64_t lapic_cr8_read(const struct lapic *l);
void lapic_cr8_write(struct lapic *l, uint64_t value);

/* KVM_HC_SEND_IPI: bit n of the 128-bit map is APIC id @base + n; @icr is the low ICR word. How many took it, -1: bad ICR. */
int64_t lapic_send_pv_ipi(struct lapic *l, uint64_t map_low, uint64_t map_high, uint32_t base, uint32_t icr);

/* LINT0: output of the 8259 (BSP). LINT1: the NMI button. Any thread. */
void lapic_set_lint0(struct lapic *l, bool level);
void lapic_pulse_lint1(struct lapic *l);

void lapic_get_state(struct lapic *l, struct lapic_state *out);
enum lodge_err lapic_set_state(struct lapic *l, const struct lapic_state *in) LODGE_MUST_CHECK;

#endif
