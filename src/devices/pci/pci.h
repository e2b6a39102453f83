/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PCI: a bus with configuration mechanism 1 (cf8h, cfch) and a memory-mapped
 * configuration window (ECAM), and functions with base address registers.
 * Bus 0 only; other bus numbers answer all-ones.
 *
 * One lock, the bus's, guards every function's configuration space and the
 * mapping of its BARs. A function's hooks are called with it held.
 */
#ifndef LODGE_DEVICES_PCI_PCI_H
#define LODGE_DEVICES_PCI_PCI_H

#include "devices/device.h"

#define PCI_CONFIG_BYTES 256
#define PCI_SLOTS 32
#define PCI_FUNCTIONS 8
#define PCI_BARS 6
#define PCI_PIRQS 8
#define PCI_FUNCTION_STATE_VERSION 1u
#define PCI_BUS_STATE_VERSION 1u

#define PCI_VENDOR_ID 0x00
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_STATUS 0x06
#define PCI_REVISION 0x08
#define PCI_CLASS_PROG 0x09
#define PCI_CLASS_DEVICE 0x0a
#define PCI_HEADER_TYPE 0x0e
#define PCI_BAR0 0x10
#define PCI_SUBSYSTEM_VENDOR_ID 0x2c
#define PCI_SUBSYSTEM_ID 0x2e
#define PCI_CAPABILITY_LIST 0x34
#define PCI_INTERRUPT_LINE 0x3c
#define PCI_INTERRUPT_PIN 0x3d
#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_INTX_DISABLE 0x0400u
#define PCI_STATUS_INTX 0x0008u
#define PCI_STATUS_CAPABILITIES 0x0010u
#define PCI_CAP_MSIX 0x11

struct pci_bus;
struct pci_function;

struct pci_function_ops {
	/* Configuration bytes [@offset, @offset+@size) were written (after masks and BARs were applied). May be NULL. */
	void (*config_written)(struct pci_function *fn, unsigned offset, unsigned size);
	/* A read that the function wants to answer itself, before it happens. May be NULL. */
	void (*config_read)(struct pci_function *fn, unsigned offset, unsigned size);
};

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64, PCI_BAR_UPPER };
struct pci_bar {
	enum pci_bar_kind kind;
	bool prefetchable;
	uint64_t bytes;            /* power of two */
	struct bus_region *region; /* owned by the device; base and len are kept by the PCI bus */
	bool mapped;
};

struct pci_function_state {
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t intx; /* the function asserts its pin */
	uint8_t pad[7];
};

struct pci_ids {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision, class_prog;
	uint16_t class_device; /* class << 8 | subclass */
};

struct pci_function {
	struct pci_function_state state; /* guarded by bus->lock */
	uint8_t wmask[PCI_CONFIG_BYTES];   /* writable bits */
	uint8_t w1cmask[PCI_CONFIG_BYTES]; /* bits cleared by writing 1 */
	uint8_t initial[PCI_CONFIG_BYTES]; /* what reset restores */
	struct pci_bar bar[PCI_BARS];
	const struct pci_function_ops *ops;
	void *dev;            /* the device that it belongs to */
	struct pci_bus *bus;  /* NULL until added */
	uint8_t devfn;
	uint8_t cap_end;      /* next free byte for a capability */
};

struct pci_bus_state {
	uint32_t address; /* cf8h */
	uint32_t ecam_on;
	uint64_t ecam_base, ecam_bytes;
};

struct pci_bus_config {
	struct bus *port_bus, *mmio_bus;
	/* INTx: slot and pin meet in one of eight wires (PIRQA..PIRQH); set with the bus lock held. */
	struct irq_line pirq[PCI_PIRQS];
	/* Reset control at cf9h; may be NULL. */
	uint8_t (*cf9_read)(void *ctx);
	void (*cf9_write)(void *ctx, uint8_t value);
	void *cf9_ctx;
};

struct pci_bus {
	struct host_mutex lock;
	struct pci_bus_config config;
	struct pci_bus_state state; /* guarded by lock */
	struct pci_function *functions[PCI_SLOTS * PCI_FUNCTIONS];
	uint8_t pirq_asserted;   /* guarded by lock; wires that we hold, a bit each */
	struct bus_region ports; /* cf8h..cffh, for the machine to register */
	struct bus_region ecam;  /* registered by pci_bus_set_ecam() alone */
};

void pci_bus_init(struct pci_bus *bus, const struct pci_bus_config *config);
void pci_bus_fini(struct pci_bus *bus);
/* Also resets every function's configuration space. */
void pci_bus_reset(struct pci_bus *bus);
enum lodge_err pci_bus_add(struct pci_bus *bus, struct pci_function *fn, unsigned slot, unsigned function) LODGE_MUST_CHECK;
/* Show the configuration space at @base, or nowhere (@bytes 0). With the lock held (from a function's hook) or at set-up. */
void pci_bus_set_ecam(struct pci_bus *bus, uint64_t base, uint64_t bytes);
/* PIRQ wire (0..7) that INTA..INTD (0..3) of @slot drives. */
unsigned pci_pirq(unsigned slot, unsigned pin);
void pci_bus_get_state(struct pci_bus *bus, struct pci_bus_state *out);
enum lodge_err pci_bus_set_state(struct pci_bus *bus, const struct pci_bus_state *in) LODGE_MUST_CHECK;

/* Set-up of a function, before pci_bus_add(). */
void pci_function_init(struct pci_function *fn, const struct pci_ids *ids, const struct pci_function_ops *ops, void *dev);
enum lodge_err pci_function_add_bar(struct pci_function *fn, unsigned index, enum pci_bar_kind kind, uint64_t bytes,
				    bool prefetchable, struct bus_region *region) LODGE_MUST_CHECK;
/* Offset of a new capability of @bytes (header included), 0 if there is no room. */
uint8_t pci_function_add_capability(struct pci_function *fn, uint8_t id, unsigned bytes);
void pci_function_set_pin(struct pci_function *fn, unsigned pin); /* 1..4: INTA..INTD */

/* Drive the function's INTx pin. Any thread, not from a hook. */
void pci_function_set_intx(struct pci_function *fn, bool level);
/* The same, with the level that *@cause (not 0: high) has once the lock is held: whoever comes last is right. */
void pci_function_follow_intx(struct pci_function *fn, const _Atomic uint32_t *cause);
/* Has the guest allowed bus mastering? Any thread. */
bool pci_function_is_master(struct pci_function *fn);
void pci_function_reset(struct pci_function *fn);
void pci_function_get_state(struct pci_function *fn, struct pci_function_state *out);
enum lodge_err pci_function_set_state(struct pci_function *fn, const struct pci_function_state *in) LODGE_MUST_CHECK;

static inline uint16_t pci_config_16(const struct pci_function *fn, unsigned offset)
{
	return (uint16_t)(fn->state.config[offset] | fn->state.config[offset + 1] << 8);
}

#endif
