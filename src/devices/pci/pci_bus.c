/* SPDX-License-Identifier: Apache-2.0 */
/* The PCI bus: configuration accesses, where BARs are mapped, and INTx wires. */
#include "devices/pci/pci_internal.h"

#define PORT_ADDRESS 0xcf8u
#define ADDRESS_ENABLE 0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu
#define CF9_OFFSET 1u
#define DATA_OFFSET 4u
#define ECAM_FUNCTION_BYTES 4096u
#define ECAM_BUS_SHIFT 20
#define PIRQ_SHARED_SLOTS 25u /* slots below use PIRQE..H, those of the chipset PIRQA..D */

static enum bus_result pci_bus_access_ports(void *dev, struct bus_access *access);
static enum bus_result pci_bus_access_ecam(void *dev, struct bus_access *access);
static const struct bus_ops port_ops = { .access = pci_bus_access_ports };
static const struct bus_ops ecam_ops = { .access = pci_bus_access_ecam };

unsigned pci_pirq(unsigned slot, unsigned pin)
{
	return (slot + pin) % 4 + (slot < PIRQ_SHARED_SLOTS ? 4 : 0);
}

/* ---- BAR mapping; lock held ---- */

static struct bus *bar_bus(const struct pci_bus *bus, const struct pci_bar *bar)
{
	return bar->kind == PCI_BAR_IO ? bus->config.port_bus : bus->config.mmio_bus;
}

static void unmap_stale_bar(struct pci_bus *bus, struct pci_function *fn, unsigned index)
{
	struct pci_bar *bar = &fn->bar[index];

	if (!bar->mapped || (pci_bar_enabled(fn, index) && pci_bar_address(fn, index) == bar->region->base))
		return;
	bus_detach(bar_bus(bus, bar), bar->region);
	bar->mapped = false;
}

/* Where something else answers, the BAR stays unmapped; it is tried again at every later change. */
static void map_bar(struct pci_bus *bus, struct pci_function *fn, unsigned index)
{
	struct pci_bar *bar = &fn->bar[index];

	if (!bar->mapped && pci_bar_enabled(fn, index))
		bar->mapped = !bus_move(bar_bus(bus, bar), bar->region, pci_bar_address(fn, index), bar->bytes);
}

static void pci_bus_remap(struct pci_bus *bus)
{
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned devfn = 0; devfn < ARRAY_LEN(bus->functions); devfn++) {
			struct pci_function *fn = bus->functions[devfn];

			for (unsigned i = 0; fn && i < PCI_BARS; i++) {
				if (!pass)
					unmap_stale_bar(bus, fn, i);
				else
					map_bar(bus, fn, i);
			}
		}
	}
}

/* ---- INTx; lock held ---- */

static void pci_bus_update_intx(struct pci_bus *bus)
{
	unsigned asserted = 0, changed;

	for (unsigned devfn = 0; devfn < ARRAY_LEN(bus->functions); devfn++) {
		struct pci_function *fn = bus->functions[devfn];
		unsigned pin = fn ? fn->state.config[PCI_INTERRUPT_PIN] : 0;

		if (!pin || pin > 4)
			continue;
		fn->state.config[PCI_STATUS] = (uint8_t)((fn->state.config[PCI_STATUS] & ~PCI_STATUS_INTX) |
							 (fn->state.intx ? PCI_STATUS_INTX : 0));
		if (fn->state.intx && !(pci_config_16(fn, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE))
			asserted |= 1u << pci_pirq(devfn / PCI_FUNCTIONS, pin - 1);
	}
	changed = asserted ^ bus->pirq_asserted;
	bus->pirq_asserted = (uint8_t)asserted;
	for (unsigned i = 0; i < PCI_PIRQS; i++)
		if (changed >> i & 1)
			irq_line_set(&bus->config.pirq[i], asserted >> i & 1);
}

static void set_intx(struct pci_function *fn, bool level)
{
	if (fn->state.intx != level) {
		fn->state.intx = level;
		pci_bus_update_intx(fn->bus);
	}
}

void pci_function_set_intx(struct pci_function *fn, bool level)
{
	if (!fn->bus)
		return;
	host_mutex_lock(&fn->bus->lock);
	set_intx(fn, level);
	host_mutex_unlock(&fn->bus->lock);
}

void pci_function_follow_intx(struct pci_function *fn, const _Atomic uint32_t *cause)
{
	if (!fn->bus)
		return;
	host_mutex_lock(&fn->bus->lock);
	set_intx(fn, atomic_load(cause) != 0);
	host_mutex_unlock(&fn->bus->lock);
}

/* ---- configuration space; lock held ---- */

static uint64_t config_read(struct pci_bus *bus, unsigned number, unsigned devfn, unsigned reg, unsigned size)
{
	struct pci_function *fn = number ? NULL : bus->functions[devfn];

	return fn ? pci_function_read(fn, reg, size) : UINT64_MAX;
}

static void config_write(struct pci_bus *bus, unsigned number, unsigned devfn, unsigned reg, unsigned size, uint64_t value)
{
	struct pci_function *fn = number ? NULL : bus->functions[devfn];

	if (!fn || reg >= PCI_CONFIG_BYTES)
		return;
	pci_function_write(fn, reg, size, value);
	if (reg < PCI_BAR0 + PCI_BARS * 4 && reg + size > PCI_COMMAND) {
		pci_bus_remap(bus);
		pci_bus_update_intx(bus);
	}
	if (fn->ops && fn->ops->config_written)
		fn->ops->config_written(fn, reg, size);
}

static enum bus_result access_address(struct pci_bus *bus, struct bus_access *access)
{
	if (access->offset == CF9_OFFSET && access->size == 1 && bus->config.cf9_read) {
		if (access->is_write)
			bus->config.cf9_write(bus->config.cf9_ctx, (uint8_t)access->value);
		else
			access->value = bus->config.cf9_read(bus->config.cf9_ctx);
		return BUS_HANDLED;
	}
	if (access->offset || access->size != 4) /* narrower accesses pass by mechanism 1 */
		return BUS_UNHANDLED;
	if (access->is_write)
		bus->state.address = (uint32_t)access->value & ADDRESS_WRITABLE;
	else
		access->value = bus->state.address;
	return BUS_HANDLED;
}

static enum bus_result pci_bus_access_ports(void *dev, struct bus_access *access)
{
	struct pci_bus *bus = dev;
	uint32_t address = bus->state.address;
	unsigned reg;

	if (access->offset < DATA_OFFSET)
		return access_address(bus, access);
	reg = (address & 0xfc) + (unsigned)access->offset - DATA_OFFSET;
	if (!(address & ADDRESS_ENABLE))
		return BUS_UNHANDLED;
	if (access->is_write)
		config_write(bus, address >> 16 & 0xff, address >> 8 & 0xff, reg, access->size, access->value);
	else
		access->value = config_read(bus, address >> 16 & 0xff, address >> 8 & 0xff, reg, access->size);
	return BUS_HANDLED;
}

static enum bus_result pci_bus_access_ecam(void *dev, struct bus_access *access)
{
	struct pci_bus *bus = dev;
	unsigned number = (unsigned)(access->offset >> ECAM_BUS_SHIFT), devfn = access->offset >> 12 & 0xff;
	unsigned reg = (unsigned)access->offset % ECAM_FUNCTION_BYTES;

	if (reg + access->size > ECAM_FUNCTION_BYTES)
		return BUS_UNHANDLED;
	if (access->is_write)
		config_write(bus, number, devfn, reg, access->size, access->value);
	else
		access->value = config_read(bus, number, devfn, reg, access->size);
	return BUS_HANDLED;
}

void pci_bus_set_ecam(struct pci_bus *bus, uint64_t base, uint64_t bytes)
{
	struct pci_bus_state *s = &bus->state;

	if (s->ecam_on && s->ecam_base == base && s->ecam_bytes == bytes)
		return;
	bus_detach(bus->config.mmio_bus, &bus->ecam);
	s->ecam_base = base;
	s->ecam_bytes = bytes;
	s->ecam_on = bytes && !bus_move(bus->config.mmio_bus, &bus->ecam, base, bytes);
}

/* ---- life ---- */

void pci_bus_init(struct pci_bus *bus, const struct pci_bus_config *config)
{
	*bus = (struct pci_bus){ .config = *config };
	bus->ports = (struct bus_region){ .base = PORT_ADDRESS, .len = 8, .ops = &port_ops, .dev = bus, .lock = &bus->lock };
	bus->ecam = (struct bus_region){ .ops = &ecam_ops, .dev = bus, .lock = &bus->lock };
}

void pci_bus_fini(struct pci_bus *bus)
{
	if (!bus->config.mmio_bus)
		return;
	bus_detach(bus->config.mmio_bus, &bus->ecam);
	for (unsigned devfn = 0; devfn < ARRAY_LEN(bus->functions); devfn++) {
		struct pci_function *fn = bus->functions[devfn];

		for (unsigned i = 0; fn && i < PCI_BARS; i++) {
			if (fn->bar[i].mapped)
				bus_detach(bar_bus(bus, &fn->bar[i]), fn->bar[i].region);
			fn->bar[i].mapped = false;
		}
		if (fn)
			fn->bus = NULL;
	}
}

enum lodge_err pci_bus_add(struct pci_bus *bus, struct pci_function *fn, unsigned slot, unsigned function)
{
	unsigned devfn = slot * PCI_FUNCTIONS + function;

	if (slot >= PCI_SLOTS || function >= PCI_FUNCTIONS || bus->functions[devfn] || fn->bus)
		return LODGE_ERR_ARG;
	host_mutex_lock(&bus->lock);
	fn->bus = bus;
	fn->devfn = (uint8_t)devfn;
	bus->functions[devfn] = fn;
	host_mutex_unlock(&bus->lock);
	return LODGE_OK;
}

void pci_bus_reset(struct pci_bus *bus)
{
	host_mutex_lock(&bus->lock);
	for (unsigned devfn = 0; devfn < ARRAY_LEN(bus->functions); devfn++)
		if (bus->functions[devfn])
			pci_function_load_initial(bus->functions[devfn]);
	pci_bus_remap(bus);
	pci_bus_update_intx(bus);
	pci_bus_set_ecam(bus, 0, 0);
	bus->state.address = 0;
	host_mutex_unlock(&bus->lock);
}

void pci_function_reset(struct pci_function *fn)
{
	struct pci_bus *bus = fn->bus;

	if (!bus) {
		pci_function_load_initial(fn);
		return;
	}
	host_mutex_lock(&bus->lock);
	pci_function_load_initial(fn);
	pci_bus_remap(bus);
	pci_bus_update_intx(bus);
	host_mutex_unlock(&bus->lock);
}

void pci_bus_get_state(struct pci_bus *bus, struct pci_bus_state *out)
{
	host_mutex_lock(&bus->lock);
	*out = bus->state;
	host_mutex_unlock(&bus->lock);
}

enum lodge_err pci_bus_set_state(struct pci_bus *bus, const struct pci_bus_state *in)
{
	if ((in->address & ~ADDRESS_WRITABLE) || in->ecam_on > 1 || in->ecam_bytes > MIB(256))
		return LODGE_ERR_FORMAT;
	host_mutex_lock(&bus->lock);
	bus->state.address = in->address;
	pci_bus_set_ecam(bus, in->ecam_base, in->ecam_on ? in->ecam_bytes : 0);
	host_mutex_unlock(&bus->lock);
	return LODGE_OK;
}

void pci_function_get_state(struct pci_function *fn, struct pci_function_state *out)
{
	host_mutex_lock(&fn->bus->lock);
	*out = fn->state;
	host_mutex_unlock(&fn->bus->lock);
}

enum lodge_err pci_function_set_state(struct pci_function *fn, const struct pci_function_state *in)
{
	if (in->intx > 1)
		return LODGE_ERR_FORMAT;
	/* What the guest cannot write must be what this function has; status bits apart. */
	for (unsigned i = 0; i < PCI_CONFIG_BYTES; i++)
		if (i != PCI_STATUS && i != PCI_STATUS + 1 && ((in->config[i] ^ fn->initial[i]) & (uint8_t)~fn->wmask[i]))
			return LODGE_ERR_FORMAT;
	host_mutex_lock(&fn->bus->lock);
	fn->state = *in;
	pci_bus_remap(fn->bus);
	pci_bus_update_intx(fn->bus);
	host_mutex_unlock(&fn->bus->lock);
	return LODGE_OK;
}
