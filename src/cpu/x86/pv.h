/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine's part of KVM's paravirtual interface: steal time and the
 * "preempted" mark that lets other vcpus skip a TLB-flush IPI. All on the
 * vcpu's own thread, outside generated code.
 */
#ifndef LODGE_CPU_X86_PV_H
#define LODGE_CPU_X86_PV_H

#include "cpu/x86/cpu.h"

#define KVM_PV_EOI_ENABLED 1u

/* Around a sleep of this vcpu (HLT): others may then ask for a flush instead of sending an IPI; wake does it. */
void x86_pv_sleep(struct x86_cpu *cpu);
void x86_pv_wake(struct x86_cpu *cpu);

/* Bring the steal-time record up to date; cheap when called often. */
void x86_pv_steal_update(struct x86_cpu *cpu);

/* The vcpu runs on this thread from now on, whose waits for a CPU are counted from zero. */
void x86_pv_thread_begins(struct x86_cpu *cpu);

#endif
