/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The board: an x86-64 PC with Q35 identities. The only place that knows every
 * device. Built from a machine_config by src/vm, which owns guest memory, the
 * I/O thread and the vcpus; the machine lends each vcpu its environment.
 */
#ifndef LODGE_MACHINE_MACHINE_H
#define LODGE_MACHINE_MACHINE_H

#include "block/block.h"
#include "cpu/x86/cpuid.h"
#include "cpu/x86/env.h"
#include "cpu/x86/state.h"
#include "devices/device.h"
#include "memory/guest_memory.h"
#include "net/net.h"

#define MACHINE_VCPUS_MAX 16
#define MACHINE_DISKS_MAX 8
#define MACHINE_SERIAL_PORTS 2 /* COM1: console; COM2: the command agent */

/* Guest physical layout. RAM below LOW_MAX, the rest from 4 GiB up. */
#define MACHINE_RAM_LOW_MAX UINT64_C(0x80000000)
#define MACHINE_PCIEXBAR UINT64_C(0xb0000000) /* 256 MiB, where firmware and MCFG put it */
#define MACHINE_IOAPIC UINT64_C(0xfec00000)
#define MACHINE_HPET UINT64_C(0xfed00000)
#define MACHINE_LAPIC UINT64_C(0xfee00000)
#define MACHINE_RAM_HIGH UINT64_C(0x100000000)

enum machine_boot { MACHINE_BOOT_DIRECT, MACHINE_BOOT_FIRMWARE };

/* File contents are mapped by the caller and stay valid while the machine lives. */
struct machine_blob {
	const void *data;
	uint64_t bytes;
	const char *name; /* for messages */
};

/* A disk, which the caller opened and which outlives the machine. */
struct machine_disk {
	const struct block_device *block;
	const char *serial; /* NULL: none */
	bool nvme;          /* or virtio */
};

struct machine_config {
	unsigned vcpus; /* 1..MACHINE_VCPUS_MAX */
	struct guest_memory *mem; /* initialised, no ranges yet: the machine lists RAM, ROM, flash */
	const struct x86_cpu_model *model;
	enum machine_boot boot;
	struct machine_blob kernel, initrd; /* kernel optional with firmware (offered through fw_cfg) */
	const char *cmdline;
	struct machine_blob firmware;       /* SeaBIOS, OVMF code or a combined image: ends at 4 GiB */
	struct machine_blob firmware_vars;  /* second flash slot, optional */
	bool hpet;
	bool debug_exit;
	uint16_t debug_exit_port; /* default 0xf4 */
	bool debug_port_402;      /* firmware debug console, to serial 0's log sink */
	struct chardev serial[MACHINE_SERIAL_PORTS];
	struct chardev debugcon;
	struct machine_disk disks[MACHINE_DISKS_MAX];
	unsigned ndisks;
	bool rng; /* an entropy device */
	bool balloon; /* a memory balloon, which tells what memory is free */
	const struct net_backend *net; /* NULL: no network card; outlives the machine */
	uint8_t mac[NET_MAC_BYTES];
	const struct timer_service *timers;
	struct post_service posts; /* the I/O thread; needed with disks, rng, balloon and net */
	struct machine_events events;
	struct log *log;
	/* Deliver CPU_REQ_* bits to a vcpu (cpu_backend_ops.request). Any thread. */
	void (*vcpu_request)(void *ctx, unsigned vcpu, uint32_t bits, uint32_t arg);
	/* The memory map changed (PAM, flash mode): every vcpu must drop cached translations. vcpu or I/O thread. */
	void (*memory_changed)(void *ctx);
	/* The guest's TSC as its vcpu sees it, for TSC-deadline: guest tsc value -> deadline on timers' clock. */
	uint64_t (*tsc_to_ns)(void *ctx, unsigned vcpu, uint64_t guest_tsc);
	uint64_t (*read_tsc)(void *ctx, unsigned vcpu);
	void *ctx;
	uint8_t uuid[16]; /* SMBIOS system UUID; all zero: not set */
};

struct machine;

enum lodge_err machine_create(const struct machine_config *config, struct machine **out,
			      struct lodge_error *err) LODGE_MUST_CHECK;
void machine_destroy(struct machine *m);

/* Power-on or reset: every device to its reset state, boot images loaded again. Vcpus must be stopped. */
enum lodge_err machine_reset(struct machine *m, struct lodge_error *err) LODGE_MUST_CHECK;

/*
 * After machine_reset(): change power-on CPU state of @vcpu into what the boot
 * protocol asks for (direct boot sets the BSP's registers; APs wait for SIPI;
 * firmware boot leaves the reset vector).
 */
void machine_boot_state(const struct machine *m, unsigned vcpu, struct x86_state *state);

const struct x86_env_ops *machine_env(void);
void *machine_vcpu_ctx(struct machine *m, unsigned vcpu);

/* Input side of the serial ports, for the console's owner. */
const struct chardev_client *machine_serial(struct machine *m, unsigned port);

struct bus *machine_port_bus(struct machine *m);
struct bus *machine_mmio_bus(struct machine *m);

/* Inject an NMI into vcpu 0 (console menu), press the ACPI power button. */
void machine_nmi(struct machine *m);
void machine_power_button(struct machine *m);

#endif
