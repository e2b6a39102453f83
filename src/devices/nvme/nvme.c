/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PCI function and its BAR (NVMe 1.4, 3.1):
 *
 *   0000 registers     2000 MSI-X table
 *   1000 doorbells     3000 MSI-X pending bits
 */
#include "devices/nvme/nvme.h"

#include "base/mem.h"
#include "devices/nvme/nvme_internal.h"

/* Of the range that is set aside for devices without an identity of their own; drivers go by the class. */
#define VENDOR 0x1af4
#define DEVICE 0x10f0
#define CLASS_NVM 0x0108
#define CLASS_PROG_NVME 2
#define BAR_INDEX 0u
#define BAR_BYTES 0x4000u
#define BAR_DOORBELLS 0x1000u
#define BAR_MSIX_TABLE 0x2000u
#define BAR_MSIX_PBA 0x3000u
#define BAR_PART_BYTES 0x1000u

#define CAP_LOW ((NVME_ENTRIES_MAX - 1) /* MQES */ | 1u << 16 /* contiguous queues */ | 40u << 24 /* 20 s to be ready: a disk may be slow */)
#define CAP_HIGH (1u << 5) /* the NVM command set; doorbells 4 bytes apart; pages of 4 KiB */
#define VERSION 0x10400u
#define CC_WRITABLE 0x00fffff1u
#define AQA_WRITABLE 0x0fff0fffu

enum { REG_CAP = 0, REG_CAP_HIGH = 4, REG_VS = 8, REG_INTMS = 0xc, REG_INTMC = 0x10, REG_CC = 0x14, REG_CSTS = 0x1c, REG_AQA = 0x24, REG_ASQ = 0x28,
       REG_ASQ_HIGH = 0x2c, REG_ACQ = 0x30, REG_ACQ_HIGH = 0x34 };

/* ---- interrupts ---- */

static void update_pin_locked(struct nvme *n)
{
	atomic_store(&n->intx, n->raised & ~n->regs.intm);
}

void nvme_interrupt(struct nvme *n, unsigned cq)
{
	if (!n->cq[cq].interrupts)
		return;
	n->pin = !msix_notify(&n->msix, n->cq[cq].vector);
	if (!n->pin)
		return;
	host_mutex_lock(&n->lock);
	n->raised |= 1u << n->cq[cq].vector;
	update_pin_locked(n);
	host_mutex_unlock(&n->lock);
	pci_function_follow_intx(&n->fn, &n->intx);
}

/* With the pin: vectors that have entries are raised, the others are quiet. */
void nvme_interrupt_update(struct nvme *n)
{
	uint32_t busy = 0, before;

	for (unsigned i = 0; n->pin && i < NVME_QUEUES_MAX; i++)
		if (n->cq[i].interrupts && n->cq[i].head != n->cq[i].tail)
			busy |= 1u << n->cq[i].vector;
	host_mutex_lock(&n->lock);
	before = n->raised;
	n->raised = busy;
	update_pin_locked(n);
	host_mutex_unlock(&n->lock);
	if (before != busy)
		pci_function_follow_intx(&n->fn, &n->intx);
}

void nvme_set_status(struct nvme *n, uint32_t clear, uint32_t set)
{
	host_mutex_lock(&n->lock);
	n->regs.csts = (n->regs.csts & ~clear) | set;
	if (clear & NVME_CSTS_RDY)
		n->regs.intm = 0;
	host_mutex_unlock(&n->lock);
}

/* ---- registers ---- */

/* Lock held. */
static uint32_t read_register(const struct nvme *n, unsigned offset)
{
	const struct nvme_registers *r = &n->regs;

	switch (offset) {
	case REG_CAP: return CAP_LOW;
	case REG_CAP_HIGH: return CAP_HIGH;
	case REG_VS: return VERSION;
	case REG_INTMS:
	case REG_INTMC: return r->intm;
	case REG_CC: return r->cc;
	case REG_CSTS: return r->csts;
	case REG_AQA: return r->aqa;
	case REG_ASQ: return (uint32_t)r->asq;
	case REG_ASQ_HIGH: return (uint32_t)(r->asq >> 32);
	case REG_ACQ: return (uint32_t)r->acq;
	case REG_ACQ_HIGH: return (uint32_t)(r->acq >> 32);
	default: return 0;
	}
}

/* Lock held. */
static void write_cc(struct nvme_registers *r, uint32_t value)
{
	value &= CC_WRITABLE;
	if (r->cc & ~value & NVME_CC_EN)
		r->reset_asked = true;
	r->cc = value;
}

/* Lock held. */
static void write_register(struct nvme *n, unsigned offset, uint32_t value)
{
	struct nvme_registers *r = &n->regs;

	switch (offset) {
	case REG_INTMS: r->intm |= value; break;
	case REG_INTMC: r->intm &= ~value; break;
	case REG_CC: write_cc(r, value); break;
	case REG_AQA: r->aqa = value & AQA_WRITABLE; break;
	case REG_ASQ: r->asq = (r->asq & ~UINT64_C(0xffffffff)) | value; break;
	case REG_ASQ_HIGH: r->asq = (r->asq & 0xffffffff) | (uint64_t)value << 32; break;
	case REG_ACQ: r->acq = (r->acq & ~UINT64_C(0xffffffff)) | value; break;
	case REG_ACQ_HIGH: r->acq = (r->acq & 0xffffffff) | (uint64_t)value << 32; break;
	default: break;
	}
	update_pin_locked(n);
}

/* Of 4 or 8 bytes, as the specification wants them. */
static enum bus_result register_access(struct nvme *n, struct bus_access *access)
{
	unsigned offset = (unsigned)access->offset;

	if (access->size < 4 || offset % 4)
		return BUS_UNHANDLED;
	host_mutex_lock(&n->lock);
	for (unsigned i = 0; i < access->size / 4; i++) {
		if (access->is_write)
			write_register(n, offset + 4 * i, (uint32_t)(access->value >> (32 * i)));
		else
			access->value |= (uint64_t)read_register(n, offset + 4 * i) << (32 * i);
	}
	host_mutex_unlock(&n->lock);
	if (access->is_write && offset < REG_CC && offset + access->size > REG_INTMS)
		pci_function_follow_intx(&n->fn, &n->intx);
	if (access->is_write && offset <= REG_CC && offset + access->size > REG_CC)
		post_call(&n->config.posts, &n->work);
	return BUS_HANDLED;
}

static enum bus_result doorbell_access(struct nvme *n, struct bus_access *access)
{
	unsigned doorbell = (unsigned)access->offset / 4;
	bool quiet = false;

	if (access->size != 4 || access->offset % 4)
		return BUS_UNHANDLED;
	if (!access->is_write)
		return BUS_HANDLED; /* reads are of no meaning: 0 */
	host_mutex_lock(&n->lock);
	if (doorbell < ARRAY_LEN(n->regs.doorbell)) {
		n->regs.doorbell[doorbell] = (uint32_t)access->value;
		n->regs.rung |= UINT64_C(1) << doorbell;
		/* The driver saw completions: its interrupt must not come again at once. The I/O thread raises it if there are more. */
		quiet = doorbell % 2 && n->raised;
		n->raised = quiet ? 0 : n->raised;
		update_pin_locked(n);
	} else {
		n->regs.bad_doorbell = true;
	}
	host_mutex_unlock(&n->lock);
	if (quiet)
		pci_function_follow_intx(&n->fn, &n->intx);
	post_call(&n->config.posts, &n->work);
	return BUS_HANDLED;
}

static enum bus_result bar_access(void *ctx, struct bus_access *access)
{
	struct nvme *n = ctx;
	struct bus_access part = *access;
	enum bus_result result;

	part.offset %= BAR_PART_BYTES;
	part.value = access->is_write ? access->value : 0;
	switch (access->offset / BAR_PART_BYTES * BAR_PART_BYTES) {
	case BAR_DOORBELLS: result = doorbell_access(n, &part); break;
	case BAR_MSIX_TABLE: result = msix_table_access(&n->msix, &part); break;
	case BAR_MSIX_PBA: result = msix_pba_access(&n->msix, &part); break;
	default: result = register_access(n, &part); break;
	}
	access->value = part.value;
	return result;
}

static const struct bus_ops bar_ops = { .access = bar_access };

static void config_written(struct pci_function *fn, unsigned offset, unsigned size)
{
	struct nvme *n = fn->dev;

	msix_config_written(&n->msix);
	/* Doorbells that rang before bus mastering was allowed are still to be answered. */
	if (offset <= PCI_COMMAND && PCI_COMMAND < offset + size && (pci_config_16(fn, PCI_COMMAND) & PCI_COMMAND_MASTER))
		post_call(&n->config.posts, &n->work);
}

static const struct pci_function_ops function_ops = { .config_written = config_written };

/* ---- life ---- */

enum lodge_err nvme_init(struct nvme *n, const struct nvme_config *config)
{
	const struct pci_ids ids = { .vendor = VENDOR, .device = DEVICE, .subsystem_vendor = VENDOR, .subsystem = 0x1100, .revision = 1,
				     .class_device = CLASS_NVM, .class_prog = CLASS_PROG_NVME };
	enum lodge_err rc;

	if (!config->queues || config->queues > NVME_IO_QUEUES_MAX)
		return LODGE_ERR_ARG;
	*n = (struct nvme){ .config = *config };
	n->work = (struct event_post){ .fn = nvme_work, .ctx = n };
	n->bar = (struct bus_region){ .len = BAR_BYTES, .ops = &bar_ops, .dev = n };
	nvme_names_init(n);
	nvme_features_reset(n);
	pci_function_init(&n->fn, &ids, &function_ops, n);
	pci_function_set_pin(&n->fn, 1);
	rc = pci_function_add_bar(&n->fn, BAR_INDEX, PCI_BAR_MEM64, BAR_BYTES, false, &n->bar);
	if (rc == LODGE_OK)
		rc = msix_init(&n->msix, &n->fn, config->queues + 1, BAR_INDEX, BAR_MSIX_TABLE, BAR_MSIX_PBA, &config->msi);
	return rc == LODGE_OK ? pci_bus_add(config->bus, &n->fn, config->slot, 0) : rc;
}

static void quiesce(struct nvme *n)
{
	nvme_queues_drop(n);
	if (n->in_flight)
		n->config.block->drain(n->config.block->ctx);
	post_cancel(&n->config.posts, &n->work);
}

void nvme_power_on(struct nvme *n)
{
	quiesce(n);
	n->resetting = false;
	n->raised = 0;
	n->pin = false;
	n->regs = (struct nvme_registers){ .cc = 0 };
	atomic_store(&n->intx, 0);
	msix_reset(&n->msix);
	pci_function_follow_intx(&n->fn, &n->intx);
}

void nvme_fini(struct nvme *n)
{
	if (n->config.mem)
		quiesce(n);
}
