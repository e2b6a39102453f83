/* SPDX-License-Identifier: Apache-2.0 */
/* The board's insides, shared by the files of src/machine. */
#ifndef LODGE_MACHINE_MACHINE_INTERNAL_H
#define LODGE_MACHINE_MACHINE_INTERNAL_H

#include "boot/boot.h"
#include "devices/acpi/acpi_tables.h"
#include "devices/acpi/smbios.h"
#include "devices/irq/i8259.h"
#include "devices/irq/ioapic.h"
#include "devices/irq/irq_hub.h"
#include "devices/irq/lapic.h"
#include "devices/irq/msi.h"
#include "devices/pci/ich9_lpc.h"
#include "devices/pci/q35_host.h"
#include "devices/platform/debug_exit.h"
#include "devices/platform/debugcon.h"
#include "devices/platform/flash_cfi.h"
#include "devices/platform/fw_cfg.h"
#include "devices/platform/i8042.h"
#include "devices/platform/mc146818_rtc.h"
#include "devices/platform/pvpanic.h"
#include "devices/platform/system_ports.h"
#include "devices/serial/uart_16550.h"
#include "devices/timer/acpi_pm.h"
#include "devices/timer/hpet.h"
#include "devices/timer/i8254_pit.h"
#include "machine/machine.h"
#include "machine/machine_memory.h"

#define MACHINE_PMBASE 0x600u
#define MACHINE_SCI 9u
#define MACHINE_PCI_GSI_BASE 16u
#define MACHINE_RESET_PORT 0xcf9u
#define MACHINE_RESET_VALUE 6u

/* What direct boot leaves below 1 MiB; the e820 map reserves it. */
#define MACHINE_ACPI_AREA UINT64_C(0xe0000) /* RSDP, then the tables */
#define MACHINE_ACPI_TABLES (MACHINE_ACPI_AREA + 0x40)
#define MACHINE_SMBIOS_AREA UINT64_C(0xf0000) /* entry point, then the structures */
#define MACHINE_SMBIOS_TABLE (MACHINE_SMBIOS_AREA + 0x20)

/* A wire that can be cut: the HPET's legacy replacement takes over from PIT and RTC. */
struct machine_gate {
	struct host_mutex lock;
	struct irq_line out;
	bool level, cut; /* guarded by lock */
};

struct machine_vcpu {
	struct machine *machine;
	unsigned index;
	struct lapic lapic;
	uint64_t pv_eoi_msr; /* vcpu thread */
};

struct machine {
	struct machine_config config;
	struct machine_memory memory;
	struct bus ports, mmio;

	struct machine_vcpu vcpu[MACHINE_VCPUS_MAX];
	struct lapic_bus lapics;
	struct i8259 pic;
	struct ioapic ioapic;
	struct irq_hub hub;
	struct msi msi;

	struct i8254 pit;
	struct mc146818 rtc;
	struct acpi_pm pm;
	struct hpet hpet;
	struct machine_gate pit_gate, rtc_gate;

	struct pci_bus pci;
	struct q35_host host_bridge;
	struct ich9_lpc lpc;
	struct machine_virtio *virtio; /* machine_virtio.c's own */

	struct uart_16550 uart[MACHINE_SERIAL_PORTS];
	struct i8042 kbc;
	struct system_ports system_ports;
	struct pvpanic pvpanic;
	struct debug_exit debug_exit;
	struct debugcon debugcon;

	struct fw_cfg fw_cfg;
	struct flash_cfi flash_vars;
	uint8_t *rom, *vars; /* NULL without firmware, without variables */
	uint64_t rom_bytes, vars_bytes;
	struct acpi_image acpi; /* not placed */
	uint8_t acpi_script[ACPI_SCRIPT_MAX];
	uint32_t acpi_script_bytes;
	struct smbios_image smbios;
	struct e820_map e820;    /* direct boot's; firmware gets fw_e820 and makes its own */
	uint8_t fw_e820[2 * 20];
	uint8_t system_states[6];

	bool in_reset;      /* the map is applied once, at the end */
	bool devices_ready; /* destroy has something to undo */
	struct boot_entry entry; /* direct boot, after reset */
};

/* machine_devices.c: create, wire and register every chip; reset them; undo. */
enum lodge_err machine_devices_create(struct machine *m, struct lodge_error *err) LODGE_MUST_CHECK;
void machine_devices_reset(struct machine *m);
void machine_devices_destroy(struct machine *m);

/* machine_virtio.c: after PCI and interrupt controllers; reset after the PCI bus's; stop what is made before the rest goes. */
enum lodge_err machine_virtio_create(struct machine *m) LODGE_MUST_CHECK;
void machine_virtio_reset(struct machine *m);
void machine_virtio_stop(struct machine *m);

/* machine_firmware.c */
enum lodge_err machine_firmware_load(struct machine *m, struct lodge_error *err) LODGE_MUST_CHECK; /* ROM and variables */
void machine_firmware_free(struct machine *m);
enum lodge_err machine_tables_build(struct machine *m, struct lodge_error *err) LODGE_MUST_CHECK; /* ACPI, SMBIOS, e820 */
enum lodge_err machine_fw_cfg_fill(struct machine *m, struct lodge_error *err) LODGE_MUST_CHECK;

/* machine_boot.c: what firmware would have done, then the kernel. */
enum lodge_err machine_direct_boot(struct machine *m, struct lodge_error *err) LODGE_MUST_CHECK;

/* The PAM bits of the host bridge into the map. */
enum lodge_err machine_apply_shadow(struct machine *m) LODGE_MUST_CHECK;

#endif
