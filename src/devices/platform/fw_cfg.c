/* SPDX-License-Identifier: Apache-2.0 */
/* The fw_cfg device: byte-wide port interface and DMA. */
#include "devices/platform/fw_cfg.h"

#include "base/mem.h"
#include "base/types.h"

#define REG_SELECT 0u
#define REG_DATA 1u
#define REG_DMA_HIGH 4u
#define REG_DMA_LOW 8u
#define KEY_WRITE_CHANNEL 0x4000u /* an old way to write; ignored */

#define ID_PORTS 1u
#define ID_DMA 2u

#define DMA_ERROR 0x01u
#define DMA_READ 0x02u
#define DMA_SKIP 0x04u
#define DMA_SELECT 0x08u
#define DMA_WRITE 0x10u

struct dma_wire {
	be32_t control, length;
	be64_t address;
};
_Static_assert(sizeof(struct dma_wire) == 16, "fw_cfg DMA descriptor");

static struct fw_cfg_item *item_find(struct fw_cfg *f, uint16_t key)
{
	for (unsigned i = 0; i < f->nitems; i++)
		if (f->items[i].key == key)
			return &f->items[i];
	return NULL;
}

static void item_select(struct fw_cfg *f, uint16_t key)
{
	f->selected = key & (uint16_t)~KEY_WRITE_CHANNEL;
	f->offset = 0;
}

/* Reading past the end, or an item that is not there, gives zeros. */
static uint8_t data_read_byte(struct fw_cfg *f)
{
	const struct fw_cfg_item *item = item_find(f, f->selected);
	uint8_t v = item && f->offset < item->len ? item->data[f->offset] : 0;

	f->offset++;
	return v;
}

static enum lodge_err dma_read(struct fw_cfg *f, const struct fw_cfg_item *item, uint64_t addr, uint32_t len)
{
	uint64_t have = item && f->offset < item->len ? MIN(item->len - f->offset, (uint64_t)len) : 0;
	enum lodge_err rc = LODGE_OK;

	if (have)
		rc = guest_write(f->mem, gpa(addr), item->data + f->offset, have);
	if (rc == LODGE_OK && len > have)
		rc = guest_fill(f->mem, gpa(addr + have), 0, len - have);
	return rc;
}

static enum lodge_err dma_write(struct fw_cfg *f, const struct fw_cfg_item *item, uint64_t addr, uint32_t len)
{
	if (!item || !item->writable || f->offset > item->len || len > item->len - f->offset)
		return LODGE_ERR_PERM;
	return guest_read(f->mem, gpa(addr), item->writable + f->offset, len);
}

static void dma_run(struct fw_cfg *f)
{
	struct dma_wire wire;
	uint64_t at = f->dma_addr, addr;
	uint32_t control, len;
	const struct fw_cfg_item *item;
	enum lodge_err rc = LODGE_OK;
	be32_t status;

	f->dma_addr = 0;
	if (guest_read(f->mem, gpa(at), &wire, sizeof(wire)) != LODGE_OK)
		return;
	control = be32_get(wire.control);
	len = be32_get(wire.length);
	addr = be64_get(wire.address);
	if (control & DMA_SELECT)
		item_select(f, (uint16_t)(control >> 16));
	item = item_find(f, f->selected);
	if (control & DMA_READ)
		rc = dma_read(f, item, addr, len);
	else if (control & DMA_WRITE)
		rc = dma_write(f, item, addr, len);
	if (control & (DMA_READ | DMA_WRITE | DMA_SKIP))
		f->offset += len;
	status = be32(rc == LODGE_OK ? 0 : DMA_ERROR);
	/* A descriptor that turned unwritable meanwhile hurts only the guest. */
	if (guest_write(f->mem, gpa(at), &status, sizeof(status)) != LODGE_OK)
		return;
}

static enum bus_result access_dma_register(struct fw_cfg *f, struct bus_access *a)
{
	if (a->size != 4 || (a->offset != REG_DMA_HIGH && a->offset != REG_DMA_LOW))
		return BUS_UNHANDLED;
	if (!a->is_write) {
		a->value = get_le32(a->offset == REG_DMA_HIGH ? "QEMU" : " CFG");
		return BUS_HANDLED;
	}
	if (a->offset == REG_DMA_HIGH) {
		f->dma_addr = (uint64_t)__builtin_bswap32((uint32_t)a->value) << 32;
		return BUS_HANDLED;
	}
	f->dma_addr |= __builtin_bswap32((uint32_t)a->value);
	dma_run(f);
	return BUS_HANDLED;
}

static enum bus_result fw_cfg_access(void *dev, struct bus_access *a)
{
	struct fw_cfg *f = dev;

	if (a->offset >= REG_DMA_HIGH)
		return access_dma_register(f, a);
	if (a->is_write && a->offset == REG_SELECT && a->size == 2) {
		item_select(f, (uint16_t)a->value);
		return BUS_HANDLED;
	}
	if (a->offset == REG_DATA && a->size == 1) {
		if (!a->is_write)
			a->value = data_read_byte(f);
		return BUS_HANDLED;
	}
	return BUS_UNHANDLED;
}

static const struct bus_ops fw_cfg_bus_ops = { .access = fw_cfg_access };

void fw_cfg_init(struct fw_cfg *f, struct guest_memory *mem)
{
	*f = (struct fw_cfg){ .mem = mem, .next_file_key = FW_CFG_FILE_FIRST };
	f->region = (struct bus_region){
		.base = FW_CFG_PORT, .len = FW_CFG_PORTS, .ops = &fw_cfg_bus_ops, .dev = f, .lock = &f->lock
	};
}

void fw_cfg_reset(struct fw_cfg *f)
{
	f->selected = 0;
	f->offset = 0;
	f->dma_addr = 0;
}

static struct fw_cfg_item *item_new(struct fw_cfg *f, uint16_t key, const void *data, uint32_t len)
{
	struct fw_cfg_item *item;

	if (f->nitems == FW_CFG_ITEMS_MAX || item_find(f, key))
		return NULL;
	item = &f->items[f->nitems++];
	*item = (struct fw_cfg_item){ .key = key, .data = data, .len = len };
	return item;
}

enum lodge_err fw_cfg_add(struct fw_cfg *f, uint16_t key, const void *data, uint32_t len)
{
	return item_new(f, key, data, len) ? LODGE_OK : LODGE_ERR_RANGE;
}

static enum lodge_err item_set_number(struct fw_cfg_item *item, uint64_t value, uint32_t bytes)
{
	if (!item || bytes > sizeof(item->inline_data))
		return LODGE_ERR_RANGE;
	put_le64(item->inline_data, value);
	item->data = item->inline_data;
	item->len = bytes;
	return LODGE_OK;
}

enum lodge_err fw_cfg_add_number(struct fw_cfg *f, uint16_t key, uint64_t value, uint32_t bytes)
{
	return item_set_number(item_new(f, key, NULL, 0), value, bytes);
}

static struct fw_cfg_item *file_new(struct fw_cfg *f, const char *name, const void *data, uint32_t len)
{
	struct fw_cfg_item *item;
	unsigned n = 0;

	while (name[n])
		n++;
	if (n >= FW_CFG_NAME_BYTES)
		return NULL;
	item = item_new(f, f->next_file_key, data, len);
	if (!item)
		return NULL;
	f->next_file_key++;
	item->is_file = true;
	memcpy(item->name, name, n);
	return item;
}

enum lodge_err fw_cfg_add_file(struct fw_cfg *f, const char *name, const void *data, uint32_t len)
{
	return file_new(f, name, data, len) ? LODGE_OK : LODGE_ERR_RANGE;
}

enum lodge_err fw_cfg_add_file_number(struct fw_cfg *f, const char *name, uint64_t value, uint32_t bytes)
{
	return item_set_number(file_new(f, name, NULL, 0), value, bytes);
}

enum lodge_err fw_cfg_add_file_writable(struct fw_cfg *f, const char *name, void *data, uint32_t len)
{
	struct fw_cfg_item *item = file_new(f, name, data, len);

	if (!item)
		return LODGE_ERR_RANGE;
	item->writable = data;
	return LODGE_OK;
}

static bool name_before(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (uint8_t)*a < (uint8_t)*b;
}

/* The next file in the order of names after @prev (NULL: the first). Names are unique. */
static const struct fw_cfg_item *file_after(const struct fw_cfg *f, const struct fw_cfg_item *prev)
{
	const struct fw_cfg_item *best = NULL;

	for (unsigned i = 0; i < f->nitems; i++) {
		const struct fw_cfg_item *item = &f->items[i];

		if (item->is_file && (!prev || name_before(prev->name, item->name)) &&
		    (!best || name_before(item->name, best->name)))
			best = item;
	}
	return best;
}

enum lodge_err fw_cfg_finish(struct fw_cfg *f)
{
	const struct fw_cfg_item *item = NULL;
	uint32_t n = 0;

	while (n < FW_CFG_ITEMS_MAX && (item = file_after(f, item))) {
		uint8_t *e = f->directory + 4 + 64 * n++;

		put_be32(e, item->len);
		put_be16(e + 4, item->key);
		memcpy(e + 8, item->name, FW_CFG_NAME_BYTES);
	}
	put_be32(f->directory, n);
	if (fw_cfg_add(f, FW_CFG_SIGNATURE, "QEMU", 4) != LODGE_OK)
		return LODGE_ERR_RANGE;
	if (fw_cfg_add_number(f, FW_CFG_ID, ID_PORTS | ID_DMA, 4) != LODGE_OK)
		return LODGE_ERR_RANGE;
	return fw_cfg_add(f, FW_CFG_FILE_DIR, f->directory, 4 + 64 * n);
}
