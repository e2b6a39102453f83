/* SPDX-License-Identifier: Apache-2.0 */
/* Q35 memory controller hub as firmware knows it. */
#include "devices/pci/q35_host.h"

#include "base/mem.h"

#define REG_PCIEXBAR 0x60u
#define REG_PAM0 0x90u
#define PAM_REGS 7u
#define REG_LAC 0x97u
#define REG_SMRAM 0x9du
#define REG_ESMRAMC 0x9eu
#define REG_TOUUD 0xa2u
#define REG_TOLUD 0xb0u
#define REG_SCRATCHPAD 0xdcu

#define PCIEXBAR_ENABLE UINT64_C(1)
#define PCIEXBAR_LENGTH(v) ((v) >> 1 & 3)
#define PAM_READ 1u
#define PAM_WRITE 2u

static bool touches(unsigned offset, unsigned size, unsigned reg, unsigned len)
{
	return offset < reg + len && reg < offset + size;
}

static void q35_apply_pciexbar(struct q35_host *q)
{
	uint64_t value = get_le64(&q->fn.state.config[REG_PCIEXBAR]);
	uint64_t length = PCIEXBAR_LENGTH(value), bytes = MIB(256) >> length;

	if (!(value & PCIEXBAR_ENABLE) || length == 3)
		pci_bus_set_ecam(q->fn.bus, 0, 0);
	else
		pci_bus_set_ecam(q->fn.bus, value & UINT64_C(0xffc000000) & ~(bytes - 1), bytes);
}

static void q35_config_written(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct q35_host *q = fn->dev;

	if (touches(offset, size, REG_PCIEXBAR, 8))
		q35_apply_pciexbar(q);
	if (touches(offset, size, REG_PAM0, PAM_REGS) && q->config.pam_changed)
		q->config.pam_changed(q->config.ctx);
}

static const struct pci_function_ops q35_ops = { .config_written = q35_config_written };

static void q35_set_masks(struct pci_function *fn)
{
	put_le32(&fn->wmask[REG_PCIEXBAR], 0xfc000007);
	put_le32(&fn->wmask[REG_PCIEXBAR + 4], 0x0000000f);
	for (unsigned i = 0; i < PAM_REGS; i++)
		fn->wmask[REG_PAM0 + i] = i ? 0x33 : 0x30;
	fn->wmask[REG_LAC] = 0x8f;
	fn->wmask[REG_SMRAM] = 0x70;   /* open, closed, locked mean nothing without SMM */
	fn->wmask[REG_ESMRAMC] = 0x80;
	put_le32(&fn->wmask[REG_SCRATCHPAD], UINT32_MAX);
}

enum lodge_err q35_host_init(struct q35_host *q, struct pci_bus *bus, const struct q35_host_config *config)
{
	static const struct pci_ids ids = {
		.vendor = 0x8086,
		.device = 0x29c0,
		.subsystem_vendor = 0x1af4,
		.subsystem = 0x1100,
		.revision = 2,
		.class_device = 0x0600,
	};
	struct pci_function *fn = &q->fn;

	q->config = *config;
	pci_function_init(fn, &ids, &q35_ops, q);
	q35_set_masks(fn);
	fn->initial[REG_SMRAM] = 0x02;
	fn->initial[REG_ESMRAMC] = 0x38;
	put_le16(&fn->initial[REG_TOLUD], (uint16_t)(config->ram_low_mib << 4));
	put_le16(&fn->initial[REG_TOUUD], (uint16_t)(config->ram_high_end >> 20));
	if (config->pciexbar)
		put_le64(&fn->initial[REG_PCIEXBAR], config->pciexbar | PCIEXBAR_ENABLE);
	memcpy(fn->state.config, fn->initial, PCI_CONFIG_BYTES);
	return pci_bus_add(bus, fn, 0, 0);
}

void q35_host_reset(struct q35_host *q)
{
	q35_host_state_loaded(q);
}

void q35_host_state_loaded(struct q35_host *q)
{
	struct pci_bus *bus = q->fn.bus;

	host_mutex_lock(&bus->lock);
	q35_apply_pciexbar(q);
	if (q->config.pam_changed)
		q->config.pam_changed(q->config.ctx);
	host_mutex_unlock(&bus->lock);
}

void q35_host_pam(const struct q35_host *q, struct q35_pam_segment out[Q35_PAM_SEGMENTS])
{
	const uint8_t *pam = &q->fn.state.config[REG_PAM0];

	/* PAM1..6 hold two 16 KiB segments each, from c0000h up; PAM0's upper half is f0000h..fffffh. */
	for (unsigned i = 0; i < Q35_PAM_SEGMENTS; i++) {
		bool top = i == Q35_PAM_SEGMENTS - 1;
		unsigned bits = top ? pam[0] >> 4 : pam[1 + i / 2] >> (i % 2 * 4);

		out[i] = (struct q35_pam_segment){
			.base = 0xc0000 + i * 0x4000,
			.bytes = top ? 0x10000 : 0x4000,
			.read_ram = bits & PAM_READ,
			.write_ram = bits & PAM_WRITE,
		};
	}
}
