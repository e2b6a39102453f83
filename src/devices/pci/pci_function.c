/* SPDX-License-Identifier: Apache-2.0 */
/* One PCI function: identity, capabilities, BARs as registers. Mapping them is the bus's work. */
#include "devices/pci/pci_internal.h"

#define STANDARD_HEADER_BYTES 0x40u

static void put16(uint8_t *config, unsigned offset, uint16_t value)
{
	put_le16(&config[offset], value);
}

void pci_function_init(struct pci_function *fn, const struct pci_ids *ids, const struct pci_function_ops *ops, void *dev)
{
	uint8_t *c;

	*fn = (struct pci_function){ .ops = ops, .dev = dev, .cap_end = STANDARD_HEADER_BYTES };
	c = fn->initial;
	put16(c, PCI_VENDOR_ID, ids->vendor);
	put16(c, PCI_DEVICE_ID, ids->device);
	put16(c, PCI_CLASS_DEVICE, ids->class_device);
	put16(c, PCI_SUBSYSTEM_VENDOR_ID, ids->subsystem_vendor);
	put16(c, PCI_SUBSYSTEM_ID, ids->subsystem);
	c[PCI_REVISION] = ids->revision;
	c[PCI_CLASS_PROG] = ids->class_prog;
	put16(fn->wmask, PCI_COMMAND,
	      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE | 0x0140);
	put16(fn->w1cmask, PCI_STATUS, 0xf900);
	fn->wmask[0x0c] = 0xff; /* cache line size */
	fn->wmask[PCI_INTERRUPT_LINE] = 0xff;
	pci_function_load_initial(fn);
}

void pci_function_load_initial(struct pci_function *fn)
{
	fn->state = (struct pci_function_state){ .intx = 0 };
	memcpy(fn->state.config, fn->initial, PCI_CONFIG_BYTES);
}

enum lodge_err pci_function_add_bar(struct pci_function *fn, unsigned index, enum pci_bar_kind kind, uint64_t bytes,
				    bool prefetchable, struct bus_region *region)
{
	unsigned at = PCI_BAR0 + index * 4;
	uint64_t least = kind == PCI_BAR_IO ? 4 : 16;
	uint64_t mask = ~(bytes - 1);
	uint32_t low;

	if (index >= PCI_BARS || fn->bar[index].kind != PCI_BAR_NONE || bytes < least || (bytes & (bytes - 1)))
		return LODGE_ERR_ARG;
	if (kind == PCI_BAR_MEM64 ? index + 1 >= PCI_BARS : bytes > UINT64_C(0x80000000))
		return LODGE_ERR_ARG;
	fn->bar[index] = (struct pci_bar){ .kind = kind, .prefetchable = prefetchable, .bytes = bytes, .region = region };
	low = kind == PCI_BAR_IO ? 0x1u : (kind == PCI_BAR_MEM64 ? 0x4u : 0) | (prefetchable ? 0x8u : 0);
	put_le32(&fn->initial[at], low);
	put_le32(&fn->wmask[at], (uint32_t)mask);
	if (kind == PCI_BAR_MEM64) {
		fn->bar[index + 1].kind = PCI_BAR_UPPER;
		put_le32(&fn->wmask[at + 4], (uint32_t)(mask >> 32));
	}
	pci_function_load_initial(fn);
	return LODGE_OK;
}

uint8_t pci_function_add_capability(struct pci_function *fn, uint8_t id, unsigned bytes)
{
	uint8_t at = fn->cap_end;

	if (bytes < 2 || at + bytes > PCI_CONFIG_BYTES - 4u)
		return 0;
	fn->initial[at] = id;
	fn->initial[at + 1] = fn->initial[PCI_CAPABILITY_LIST];
	fn->initial[PCI_CAPABILITY_LIST] = at;
	fn->initial[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	fn->cap_end = (uint8_t)(at + ((bytes + 3) & ~3u));
	pci_function_load_initial(fn);
	return at;
}

void pci_function_set_pin(struct pci_function *fn, unsigned pin)
{
	fn->initial[PCI_INTERRUPT_PIN] = pin <= 4 ? (uint8_t)pin : 0;
	pci_function_load_initial(fn);
}

uint64_t pci_bar_address(const struct pci_function *fn, unsigned index)
{
	const struct pci_bar *bar = &fn->bar[index];
	unsigned at = PCI_BAR0 + index * 4;
	uint64_t value = get_le32(&fn->state.config[at]);

	if (bar->kind == PCI_BAR_MEM64)
		value |= (uint64_t)get_le32(&fn->state.config[at + 4]) << 32;
	return value & ~(bar->bytes - 1);
}

bool pci_bar_enabled(const struct pci_function *fn, unsigned index)
{
	const struct pci_bar *bar = &fn->bar[index];
	uint16_t command = pci_config_16(fn, PCI_COMMAND);
	uint64_t address;

	if (!bar->region)
		return false;
	address = pci_bar_address(fn, index);
	if (bar->kind == PCI_BAR_IO)
		return (command & PCI_COMMAND_IO) && address && address + bar->bytes <= 0x10000;
	return (command & PCI_COMMAND_MEMORY) && address;
}

/* ---- configuration accesses; bus lock held ---- */

uint64_t pci_function_read(struct pci_function *fn, unsigned offset, unsigned size)
{
	uint64_t value = 0;

	if (fn->ops && fn->ops->config_read && offset < PCI_CONFIG_BYTES)
		fn->ops->config_read(fn, offset, size);
	/* Beyond the first 256 bytes there is no extended capability: zero. */
	for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_BYTES; i++)
		value |= (uint64_t)fn->state.config[offset + i] << (8 * i);
	return value;
}

void pci_function_write(struct pci_function *fn, unsigned offset, unsigned size, uint64_t value)
{
	uint8_t *c = fn->state.config;

	for (unsigned i = 0; i < size && offset + i < PCI_CONFIG_BYTES; i++) {
		unsigned at = offset + i;
		uint8_t byte = (uint8_t)(value >> (8 * i));

		c[at] = (uint8_t)((c[at] & ~fn->wmask[at]) | (byte & fn->wmask[at]));
		c[at] &= (uint8_t)~(byte & fn->w1cmask[at]);
	}
}

bool pci_function_is_master(struct pci_function *fn)
{
	bool master;

	if (!fn->bus)
		return false;
	host_mutex_lock(&fn->bus->lock);
	master = pci_config_16(fn, PCI_COMMAND) & PCI_COMMAND_MASTER;
	host_mutex_unlock(&fn->bus->lock);
	return master;
}
