/* SPDX-License-Identifier: Apache-2.0 */
/* What travels between the interrupt sources (IO-APIC, MSI, IPIs) and the local APICs. */
#ifndef LODGE_DEVICES_IRQ_APIC_MESSAGE_H
#define LODGE_DEVICES_IRQ_APIC_MESSAGE_H

#include "base/compiler.h"

enum apic_delivery {
	APIC_FIXED,
	APIC_LOWEST,
	APIC_SMI,
	APIC_REMOTE_READ,
	APIC_NMI,
	APIC_INIT,
	APIC_SIPI,
	APIC_EXTINT,
};

struct apic_message {
	uint32_t dest;
	uint8_t delivery; /* enum apic_delivery */
	uint8_t vector;
	bool logical;
	bool level;
	bool wide; /* dest is an x2APIC destination: 32 bits, all-ones is broadcast; otherwise 8 bits and 0xff */
};

/* Where messages go. Any thread; true: at least one local APIC took it. */
struct apic_sink {
	bool (*deliver)(void *ctx, const struct apic_message *message);
	void *ctx;
};
static inline bool apic_send(const struct apic_sink *sink, const struct apic_message *message)
{
	return sink->deliver && sink->deliver(sink->ctx, message);
}

#endif
