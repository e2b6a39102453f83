/* SPDX-License-Identifier: Apache-2.0 */
/* MSI-X. */
#include "devices/pci/msix.h"

#include "base/mem.h"

#define CAP_BYTES 12u
#define CAP_CONTROL 2u
#define CAP_TABLE 4u
#define CAP_PBA 8u
#define CONTROL_ENABLE 0x8000u
#define CONTROL_MASK_ALL 0x4000u
#define ENTRY_MASKED 1u

enum lodge_err msix_init(struct msix *m, struct pci_function *fn, unsigned vectors, unsigned bar, uint32_t table_offset,
			 uint32_t pba_offset, const struct msi_sink *sink)
{
	uint8_t cap;

	if (!vectors || vectors > MSIX_VECTORS_MAX || bar >= PCI_BARS || (table_offset | pba_offset) & 7)
		return LODGE_ERR_ARG;
	cap = pci_function_add_capability(fn, PCI_CAP_MSIX, CAP_BYTES);
	if (!cap)
		return LODGE_ERR_RANGE;
	*m = (struct msix){ .sink = *sink, .fn = fn, .vectors = vectors, .cap = cap };
	put_le16(&fn->initial[cap + CAP_CONTROL], (uint16_t)(vectors - 1));
	put_le32(&fn->initial[cap + CAP_TABLE], table_offset | bar);
	put_le32(&fn->initial[cap + CAP_PBA], pba_offset | bar);
	fn->wmask[cap + CAP_CONTROL + 1] = (CONTROL_ENABLE | CONTROL_MASK_ALL) >> 8;
	memcpy(fn->state.config, fn->initial, PCI_CONFIG_BYTES);
	msix_reset(m);
	return LODGE_OK;
}

void msix_reset(struct msix *m)
{
	host_mutex_lock(&m->lock);
	m->state = (struct msix_state){ .pending = 0 };
	for (unsigned i = 0; i < m->vectors; i++)
		m->state.table[i * 4 + 3] = ENTRY_MASKED;
	host_mutex_unlock(&m->lock);
}

/* Send what is pending on @vector if nothing masks it any more. Lock held. */
static void msix_try(struct msix *m, unsigned vector)
{
	const uint32_t *entry = &m->state.table[vector * 4];
	uint64_t bit = UINT64_C(1) << vector;

	if (!(m->state.pending & bit) || !m->state.enabled || m->state.masked || (entry[3] & ENTRY_MASKED))
		return;
	m->state.pending &= ~bit;
	msi_send(&m->sink, (uint64_t)entry[1] << 32 | entry[0], entry[2]);
}

static void msix_write_table(struct msix *m, unsigned word, uint32_t value)
{
	unsigned vector = word / 4;

	if (vector >= m->vectors)
		return;
	m->state.table[word] = word % 4 == 3 ? value & ENTRY_MASKED : word % 4 == 0 ? value & ~3u : value;
	msix_try(m, vector);
}

enum bus_result msix_table_access(struct msix *m, struct bus_access *access)
{
	unsigned word = (unsigned)(access->offset / 4);

	if (access->size < 4 || access->offset % access->size || access->offset >= m->vectors * MSIX_ENTRY_BYTES)
		return BUS_UNHANDLED;
	host_mutex_lock(&m->lock);
	if (access->is_write) {
		msix_write_table(m, word, (uint32_t)access->value);
		if (access->size == 8)
			msix_write_table(m, word + 1, (uint32_t)(access->value >> 32));
	} else {
		access->value = m->state.table[word];
		if (access->size == 8)
			access->value |= (uint64_t)m->state.table[word + 1] << 32;
	}
	host_mutex_unlock(&m->lock);
	return BUS_HANDLED;
}

enum bus_result msix_pba_access(struct msix *m, struct bus_access *access)
{
	if (access->is_write)
		return BUS_HANDLED; /* read only */
	if (access->offset >= 8 || access->offset + access->size > 8)
		return BUS_UNHANDLED;
	host_mutex_lock(&m->lock);
	access->value = m->state.pending >> (8 * access->offset);
	host_mutex_unlock(&m->lock);
	return BUS_HANDLED;
}

void msix_config_written(struct msix *m)
{
	uint16_t control = pci_config_16(m->fn, m->cap + CAP_CONTROL);

	host_mutex_lock(&m->lock);
	m->state.enabled = (control & CONTROL_ENABLE) != 0;
	m->state.masked = (control & CONTROL_MASK_ALL) != 0;
	for (unsigned i = 0; i < m->vectors; i++)
		msix_try(m, i);
	host_mutex_unlock(&m->lock);
}

bool msix_notify(struct msix *m, unsigned vector)
{
	bool enabled;

	host_mutex_lock(&m->lock);
	enabled = m->state.enabled;
	if (enabled && vector < m->vectors) {
		m->state.pending |= UINT64_C(1) << vector;
		msix_try(m, vector);
	}
	host_mutex_unlock(&m->lock);
	return enabled;
}

void msix_get_state(struct msix *m, struct msix_state *out)
{
	host_mutex_lock(&m->lock);
	*out = m->state;
	host_mutex_unlock(&m->lock);
}

enum lodge_err msix_set_state(struct msix *m, const struct msix_state *in)
{
	if (in->enabled > 1 || in->masked > 1 || (m->vectors < 64 && in->pending >> m->vectors))
		return LODGE_ERR_FORMAT;
	for (unsigned i = 0; i < m->vectors; i++)
		if ((in->table[i * 4] & 3) || in->table[i * 4 + 3] > ENTRY_MASKED)
			return LODGE_ERR_FORMAT;
	host_mutex_lock(&m->lock);
	m->state = *in;
	host_mutex_unlock(&m->lock);
	return LODGE_OK;
}
