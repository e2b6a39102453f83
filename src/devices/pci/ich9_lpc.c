/* SPDX-License-Identifier: Apache-2.0 */
/* ICH9 LPC bridge. */
#include "devices/pci/ich9_lpc.h"

#include "base/mem.h"

#define REG_PMBASE 0x40u
#define REG_ACPI_CNTL 0x44u
#define REG_PIRQ_A 0x60u
#define REG_SERIRQ 0x64u
#define REG_PIRQ_E 0x68u
#define REG_LPC_DECODE 0x80u
#define LPC_DECODE_BYTES 20u
#define REG_GEN_PMCON 0xa0u
#define GEN_PMCON_BYTES 6u
#define REG_BIOS_CNTL 0xdcu
#define REG_RCBA 0xf0u

#define PMBASE_IO 0x1u
#define PMBASE_MASK 0xff80u
#define ACPI_CNTL_ENABLE 0x80u
#define PIRQ_OFF 0x80u
#define PIRQ_IRQ(v) ((v) & 0xfu)
#define ISA_ROUTABLE 0xdef8u /* 3..7, 9..12, 14, 15 */
#define RCBA_ENABLE 0x1u
#define RCBA_MASK 0xffffc000u

static bool touches(unsigned offset, unsigned size, unsigned reg, unsigned len)
{
	return offset < reg + len && reg < offset + size;
}

static enum bus_result rcba_access(void *dev, struct bus_access *access)
{
	(void)dev;
	if (!access->is_write)
		access->value = 0;
	return BUS_HANDLED;
}
static const struct bus_ops rcba_ops = { .access = rcba_access };

/* All that follows: PCI lock held. */

static void apply_pmbase(struct ich9_lpc *lpc)
{
	const uint8_t *c = lpc->fn.state.config;

	if (lpc->config.pmbase_changed)
		lpc->config.pmbase_changed(lpc->config.ctx,
					   c[REG_ACPI_CNTL] & ACPI_CNTL_ENABLE ? get_le16(&c[REG_PMBASE]) & PMBASE_MASK : 0);
}

static void apply_rcba(struct ich9_lpc *lpc)
{
	uint32_t value = get_le32(&lpc->fn.state.config[REG_RCBA]);

	if (!lpc->config.mmio_bus)
		return;
	bus_detach(lpc->config.mmio_bus, &lpc->rcba);
	lpc->rcba_mapped = (value & RCBA_ENABLE) && (value & RCBA_MASK) &&
			   !bus_move(lpc->config.mmio_bus, &lpc->rcba, value & RCBA_MASK, ICH9_RCBA_BYTES);
}

static void apply_isa_routes(struct ich9_lpc *lpc)
{
	unsigned level = 0, changed;

	for (unsigned i = 0; i < PCI_PIRQS; i++) {
		uint8_t route = lpc->fn.state.config[i < 4 ? REG_PIRQ_A + i : REG_PIRQ_E + i - 4];

		if ((lpc->pirq_level >> i & 1) && !(route & PIRQ_OFF) && (ISA_ROUTABLE >> PIRQ_IRQ(route) & 1))
			level |= 1u << PIRQ_IRQ(route);
	}
	changed = level ^ lpc->isa_level;
	lpc->isa_level = (uint16_t)level;
	for (unsigned i = 0; i < 16; i++)
		if (changed >> i & 1)
			irq_line_set(&lpc->config.isa[i], level >> i & 1);
}

void ich9_lpc_set_pirq(void *ctx, unsigned pirq, bool level)
{
	struct ich9_lpc *lpc = ctx;

	if (pirq >= PCI_PIRQS)
		return;
	lpc->pirq_level = (uint8_t)((lpc->pirq_level & ~(1u << pirq)) | (unsigned)level << pirq);
	irq_line_set(&lpc->config.ioapic[pirq], level);
	apply_isa_routes(lpc);
}

static void ich9_lpc_config_written(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct ich9_lpc *lpc = fn->dev;

	if (touches(offset, size, REG_PMBASE, 5))
		apply_pmbase(lpc);
	if (touches(offset, size, REG_PIRQ_A, 4) || touches(offset, size, REG_PIRQ_E, 4))
		apply_isa_routes(lpc);
	if (touches(offset, size, REG_RCBA, 4))
		apply_rcba(lpc);
}

static const struct pci_function_ops ich9_lpc_ops = { .config_written = ich9_lpc_config_written };

static void ich9_lpc_set_registers(struct ich9_lpc *lpc)
{
	struct pci_function *fn = &lpc->fn;

	fn->initial[PCI_HEADER_TYPE] = 0x80;
	fn->initial[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER; /* the bridge always decodes */
	fn->wmask[PCI_COMMAND] = 0;
	put_le32(&fn->initial[REG_PMBASE], PMBASE_IO | lpc->config.pmbase);
	put_le32(&fn->wmask[REG_PMBASE], PMBASE_MASK);
	fn->initial[REG_ACPI_CNTL] = lpc->config.pmbase ? ACPI_CNTL_ENABLE : 0;
	fn->wmask[REG_ACPI_CNTL] = ACPI_CNTL_ENABLE | 7;
	for (unsigned i = 0; i < 4; i++) {
		fn->initial[REG_PIRQ_A + i] = fn->initial[REG_PIRQ_E + i] = PIRQ_OFF;
		fn->wmask[REG_PIRQ_A + i] = fn->wmask[REG_PIRQ_E + i] = 0x8f;
	}
	fn->initial[REG_SERIRQ] = 0x10;
	fn->wmask[REG_SERIRQ] = 0xff;
	for (unsigned i = 0; i < LPC_DECODE_BYTES; i++)
		fn->wmask[REG_LPC_DECODE + i] = 0xff;
	for (unsigned i = 0; i < GEN_PMCON_BYTES; i++)
		fn->wmask[REG_GEN_PMCON + i] = 0xff;
	fn->wmask[REG_BIOS_CNTL] = 0x01;
	put_le32(&fn->wmask[REG_RCBA], RCBA_MASK | RCBA_ENABLE);
	memcpy(fn->state.config, fn->initial, PCI_CONFIG_BYTES);
}

enum lodge_err ich9_lpc_init(struct ich9_lpc *lpc, struct pci_bus *bus, const struct ich9_lpc_config *config)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086,
		.device = 0x2918,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.revision = 2,
		.class_device = 0x0601,
	};

	if (config->pmbase & ~PMBASE_MASK)
		return LODGE_ERR_ARG;
	*lpc = (struct ich9_lpc){ .config = *config };
	lpc->rcba = (struct bus_region){ .ops = &rcba_ops, .dev = lpc };
	pci_function_init(&lpc->fn, &ids, &ich9_lpc_ops, lpc);
	ich9_lpc_set_registers(lpc);
	return pci_bus_add(bus, &lpc->fn, ICH9_LPC_SLOT, 0);
}

void ich9_lpc_reset(struct ich9_lpc *lpc)
{
	ich9_lpc_state_loaded(lpc);
}

void ich9_lpc_state_loaded(struct ich9_lpc *lpc)
{
	struct pci_bus *bus = lpc->fn.bus;

	host_mutex_lock(&bus->lock);
	apply_pmbase(lpc);
	apply_rcba(lpc);
	apply_isa_routes(lpc);
	host_mutex_unlock(&bus->lock);
}
