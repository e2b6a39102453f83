/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an x86 vcpu needs from the machine around it. One const table per
 * machine and one context per vcpu; every call comes from that vcpu's thread.
 * Before any of these the engine has left generated code and saved the
 * guest's vector state (cpu_leave()), so that callees may use libc.
 * The one exception is marked.
 */
#ifndef LODGE_CPU_X86_ENV_H
#define LODGE_CPU_X86_ENV_H

#include "base/compiler.h"

struct x86_cpu;

enum x86_outside { X86_OUTSIDE_TSC, X86_OUTSIDE_RANDOM };

struct x86_env_ops {
	/* Device accesses; @size is 1, 2, 4 or 8 (port I/O: 1, 2, 4). Nobody home reads all-ones. */
	uint64_t (*mmio_read)(void *ctx, uint64_t gpa, unsigned size);
	void (*mmio_write)(void *ctx, uint64_t gpa, unsigned size, uint64_t value);
	uint32_t (*port_in)(void *ctx, uint16_t port, unsigned size);
	void (*port_out)(void *ctx, uint16_t port, unsigned size, uint32_t value);

	/* Local APIC. intr_pending: is there one deliverable above TPR (or ExtINT)? intr_ack: take it, -1 if gone. */
	bool (*intr_pending)(void *ctx);
	int (*intr_ack)(void *ctx);
	uint64_t (*cr8_read)(void *ctx);
	void (*cr8_write)(void *ctx, uint64_t value);
	/* IA32_APIC_BASE, TSC_DEADLINE and the x2APIC range 800h..8ffh; false: #GP. */
	bool (*apic_msr_read)(void *ctx, uint32_t msr, uint64_t *value);
	bool (*apic_msr_write)(void *ctx, uint32_t msr, uint64_t value);
	/* INIT arrived: reset the LAPIC's part. */
	void (*apic_init)(void *ctx);

	/* KVM PV hypercalls 5 (KICK_CPU), 10 (SEND_IPI), 11 (SCHED_YIELD); returns RAX. */
	uint64_t (*hypercall)(void *ctx, uint64_t nr, const uint64_t arg[4]);

	/* The one source of asynchronous truth: host TSC, random numbers. Callable without cpu_leave(). */
	uint64_t (*read_outside)(void *ctx, enum x86_outside what);
};

#endif
