/* SPDX-License-Identifier: Apache-2.0 */
/* MSI decoding. */
#include "devices/irq/msi.h"

#define MSI_WINDOW UINT64_C(0xfee00000)
#define MSI_ADDR_LOGICAL 0x4u

bool msi_decode(uint64_t addr, uint32_t data, struct apic_message *out)
{
	if ((addr & ~UINT64_C(0xfffff)) != MSI_WINDOW)
		return false;
	*out = (struct apic_message){
		.dest = (uint32_t)(addr >> 12 & 0xff) | (uint32_t)(addr >> 5 & 0x7f) << 8,
		.logical = addr & MSI_ADDR_LOGICAL,
		.vector = (uint8_t)data,
		.delivery = data >> 8 & 7,
		.level = data >> 15 & 1,
	};
	return true;
}

static void msi_send_message(void *ctx, uint64_t addr, uint32_t data)
{
	const struct msi *msi = ctx;
	struct apic_message message;

	if (msi_decode(addr, data, &message))
		apic_send(&msi->sink, &message);
}

void msi_init(struct msi *msi, const struct apic_sink *sink)
{
	msi->sink = *sink;
}

struct msi_sink msi_sink(struct msi *msi)
{
	return (struct msi_sink){ .send = msi_send_message, .ctx = msi };
}
