/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI power management registers of the ICH9 (128 ports at PMBASE): PM1a event
 * and control, PM timer, GPE0, SMI_EN (inert: there is no SMM); and the
 * ACPI-enable command at port b2h.
 */
#ifndef LODGE_DEVICES_TIMER_ACPI_PM_H
#define LODGE_DEVICES_TIMER_ACPI_PM_H

#include "devices/device.h"

#define ACPI_PM_HZ 3579545u
#define ACPI_PM_PORTS 128u
#define ACPI_PM_ENABLE 0x02u  /* written to b2h */
#define ACPI_PM_DISABLE 0x03u
#define ACPI_PM_S5 0u         /* SLP_TYP that means soft off; the DSDT says so to the guest */
#define ACPI_PM_STATE_VERSION 1u

struct acpi_pm_state {
	uint16_t status, enable, control;
	uint16_t base;     /* PMBASE, 0: not mapped */
	uint32_t gpe0_status[2], gpe0_enable[2];
	uint32_t smi_enable, smi_status;
	uint64_t timer_origin_ns; /* VM clock at count 0 */
	uint64_t timer_seen;      /* overflow is up to date to this tick */
	uint8_t apm_control, apm_status;
	uint8_t pad[6];
};

struct acpi_pm_config {
	struct irq_line sci;
	bool timer_32bit;
	bool acpi_always;  /* SCI_EN is set from reset on (the FADT names no SMI_CMD) */
	const struct timer_service *timers;
	struct machine_events events;
	struct bus *port_bus; /* where the block follows PMBASE */
};

struct acpi_pm {
	struct host_mutex lock;
	struct acpi_pm_config config;
	struct acpi_pm_state state; /* guarded by lock */
	struct timer overflow;
	struct bus_region block;    /* registered by acpi_pm_set_base() alone */
	struct bus_region apm;      /* b2h, b3h: for the machine to register */
};

void acpi_pm_init(struct acpi_pm *pm, const struct acpi_pm_config *config);
void acpi_pm_fini(struct acpi_pm *pm);
void acpi_pm_reset(struct acpi_pm *pm);
/* Move the block to @base, or take it away (@base 0). Any thread; callers serialise. */
void acpi_pm_set_base(struct acpi_pm *pm, uint16_t base);
/* Any thread. */
void acpi_pm_power_button(struct acpi_pm *pm);
void acpi_pm_raise_gpe(struct acpi_pm *pm, unsigned gpe);
void acpi_pm_get_state(struct acpi_pm *pm, struct acpi_pm_state *out);
enum lodge_err acpi_pm_set_state(struct acpi_pm *pm, const struct acpi_pm_state *in) LODGE_MUST_CHECK;

#endif
