/* SPDX-License-Identifier: Apache-2.0 */
/* ACPI power management block of the ICH9. */
#include "devices/timer/acpi_pm.h"

#include "devices/byte_access.h"
#include "devices/timer/clock_math.h"

#define APM_PORT 0xb2u

/* Offsets in the block. */
#define REG_STATUS 0x00u
#define REG_ENABLE 0x02u
#define REG_CONTROL 0x04u
#define REG_TIMER 0x08u
#define REG_GPE0_STATUS 0x20u
#define REG_GPE0_ENABLE 0x28u
#define REG_SMI_ENABLE 0x30u
#define REG_SMI_STATUS 0x34u

#define PM1_TIMER 0x0001u
#define PM1_GLOBAL 0x0020u
#define PM1_POWER_BUTTON 0x0100u
#define PM1_SLEEP_BUTTON 0x0200u
#define PM1_RTC 0x0400u
#define PM1_WAKE 0x8000u
#define PM1_STATUS_BITS (PM1_TIMER | 0x0010u | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_SLEEP_BUTTON | PM1_RTC | PM1_WAKE)
#define PM1_ENABLE_BITS (PM1_TIMER | PM1_GLOBAL | PM1_POWER_BUTTON | PM1_SLEEP_BUTTON | PM1_RTC)

#define CONTROL_SCI_EN 0x0001u
#define CONTROL_SLEEP_TYPE(control) ((control) >> 10 & 7u)
#define CONTROL_SLEEP_EN 0x2000u
#define CONTROL_BITS 0x1c03u
/*
 * SMI on writes to b2h reads as enabled: firmware then takes System Management
 * Mode for set up by somebody else and leaves it alone.
 */
#define SMI_APMC_EN 0x20u

static enum bus_result acpi_pm_access(void *dev, struct bus_access *access);
static enum bus_result acpi_pm_apm_access(void *dev, struct bus_access *access);
static const struct bus_ops block_ops = { .access = acpi_pm_access };
static const struct bus_ops apm_ops = { .access = acpi_pm_apm_access };

static uint64_t acpi_pm_ticks(const struct acpi_pm *pm)
{
	uint64_t now = timer_now(&pm->overflow), origin = pm->state.timer_origin_ns;

	return now > origin ? ticks_from_ns(now - origin, ACPI_PM_HZ) : 0;
}

/* TMR_STS is set whenever the counter's most significant bit changes. */
static uint64_t half_period(const struct acpi_pm *pm)
{
	return UINT64_C(1) << (pm->config.timer_32bit ? 31 : 23);
}

static void acpi_pm_update_timer(struct acpi_pm *pm)
{
	struct acpi_pm_state *s = &pm->state;
	uint64_t ticks = acpi_pm_ticks(pm), half = half_period(pm);

	if (ticks / half != s->timer_seen / half)
		s->status |= PM1_TIMER;
	s->timer_seen = ticks;
	if (s->enable & PM1_TIMER && !(s->status & PM1_TIMER))
		timer_arm(&pm->overflow, ns_add(s->timer_origin_ns, ns_from_ticks((ticks / half + 1) * half, ACPI_PM_HZ)));
	else
		timer_disarm(&pm->overflow);
}

static void acpi_pm_update(struct acpi_pm *pm)
{
	struct acpi_pm_state *s = &pm->state;
	bool sci;

	acpi_pm_update_timer(pm);
	sci = s->status & s->enable & PM1_ENABLE_BITS;
	for (unsigned i = 0; i < ARRAY_LEN(s->gpe0_status); i++)
		sci |= (s->gpe0_status[i] & s->gpe0_enable[i]) != 0;
	irq_line_set(&pm->config.sci, sci && (s->control & CONTROL_SCI_EN));
}

static void acpi_pm_overflow(void *ctx)
{
	struct acpi_pm *pm = ctx;

	host_mutex_lock(&pm->lock);
	acpi_pm_update(pm);
	host_mutex_unlock(&pm->lock);
}

/* ---- registers; lock held ---- */

static uint8_t byte_of(uint32_t v, unsigned index)
{
	return (uint8_t)(v >> (8 * index));
}

static void set_byte(uint32_t *v, unsigned index, uint8_t value)
{
	*v = (*v & ~(UINT32_C(0xff) << (8 * index))) | (uint32_t)value << (8 * index);
}

static uint32_t acpi_pm_timer_value(struct acpi_pm *pm)
{
	return (uint32_t)acpi_pm_ticks(pm) & (pm->config.timer_32bit ? UINT32_MAX : 0xffffffu);
}

static uint8_t acpi_pm_read(void *dev, unsigned offset)
{
	struct acpi_pm *pm = dev;
	const struct acpi_pm_state *s = &pm->state;

	switch (offset & ~3u) {
	case REG_STATUS: return byte_of((uint32_t)s->status | (uint32_t)s->enable << 16, offset & 3);
	case REG_CONTROL: return byte_of(s->control, offset & 3);
	case REG_TIMER: return byte_of(acpi_pm_timer_value(pm), offset & 3);
	case REG_GPE0_STATUS: return byte_of(s->gpe0_status[0], offset & 3);
	case REG_GPE0_STATUS + 4: return byte_of(s->gpe0_status[1], offset & 3);
	case REG_GPE0_ENABLE: return byte_of(s->gpe0_enable[0], offset & 3);
	case REG_GPE0_ENABLE + 4: return byte_of(s->gpe0_enable[1], offset & 3);
	case REG_SMI_ENABLE: return byte_of(s->smi_enable, offset & 3);
	case REG_SMI_STATUS: return byte_of(s->smi_status, offset & 3);
	default: return 0;
	}
}

static void acpi_pm_write_control(struct acpi_pm *pm, unsigned index, uint8_t value)
{
	struct acpi_pm_state *s = &pm->state;
	uint32_t control = s->control;

	set_byte(&control, index, value);
	s->control = (uint16_t)(control & CONTROL_BITS);
	if (pm->config.acpi_always)
		s->control |= CONTROL_SCI_EN;
	if (index == 1 && (control & CONTROL_SLEEP_EN) && CONTROL_SLEEP_TYPE(control) == ACPI_PM_S5 && pm->config.events.raise)
		pm->config.events.raise(pm->config.events.ctx, MACHINE_POWER_OFF, 0);
}

static void acpi_pm_write(void *dev, unsigned offset, uint8_t value)
{
	struct acpi_pm *pm = dev;
	struct acpi_pm_state *s = &pm->state;
	unsigned index = offset & 3;
	uint32_t word;

	switch (offset & ~3u) {
	case REG_STATUS:
		if (index < 2) {
			s->status &= (uint16_t)~(value << (8 * index));
			return;
		}
		word = s->enable;
		set_byte(&word, index - 2, value);
		s->enable = (uint16_t)(word & PM1_ENABLE_BITS);
		return;
	case REG_CONTROL:
		if (index < 2)
			acpi_pm_write_control(pm, index, value);
		return;
	case REG_GPE0_STATUS:
	case REG_GPE0_STATUS + 4: s->gpe0_status[offset >> 2 & 1] &= ~((uint32_t)value << (8 * index)); return;
	case REG_GPE0_ENABLE:
	case REG_GPE0_ENABLE + 4: set_byte(&s->gpe0_enable[offset >> 2 & 1], index, value); return;
	case REG_SMI_ENABLE:
		set_byte(&s->smi_enable, index, value);
		s->smi_enable |= SMI_APMC_EN;
		return;
	case REG_SMI_STATUS: s->smi_status &= ~((uint32_t)value << (8 * index)); return;
	default: return;
	}
}

static enum bus_result acpi_pm_access(void *dev, struct bus_access *access)
{
	struct acpi_pm *pm = dev;

	if (!access->is_write && access->offset == REG_TIMER) { /* one sample for all bytes; the common case */
		access->value = acpi_pm_timer_value(pm);
		return BUS_HANDLED;
	}
	if (!access->is_write && access->offset < REG_TIMER)
		acpi_pm_update_timer(pm);
	byte_access(pm, access, acpi_pm_read, acpi_pm_write);
	if (access->is_write)
		acpi_pm_update(pm);
	return BUS_HANDLED;
}

static uint8_t apm_read(void *dev, unsigned offset)
{
	const struct acpi_pm *pm = dev;

	return offset ? pm->state.apm_status : pm->state.apm_control;
}

static void apm_write(void *dev, unsigned offset, uint8_t value)
{
	struct acpi_pm *pm = dev;
	struct acpi_pm_state *s = &pm->state;

	if (offset) {
		s->apm_status = value;
		return;
	}
	s->apm_control = value;
	if (value == ACPI_PM_ENABLE)
		s->control |= CONTROL_SCI_EN;
	else if (value == ACPI_PM_DISABLE && !pm->config.acpi_always)
		s->control &= (uint16_t)~CONTROL_SCI_EN;
	acpi_pm_update(pm);
}

static enum bus_result acpi_pm_apm_access(void *dev, struct bus_access *access)
{
	return byte_access(dev, access, apm_read, apm_write);
}

/* ---- from the board ---- */

void acpi_pm_set_base(struct acpi_pm *pm, uint16_t base)
{
	host_mutex_lock(&pm->lock);
	pm->state.base = base;
	host_mutex_unlock(&pm->lock);
	if (!pm->config.port_bus)
		return;
	bus_detach(pm->config.port_bus, &pm->block);
	/* Where something else answers already, the block stays hidden: the guest's own fault. */
	if (base && bus_move(pm->config.port_bus, &pm->block, base, ACPI_PM_PORTS))
		bus_detach(pm->config.port_bus, &pm->block);
}

static void acpi_pm_raise(struct acpi_pm *pm, uint16_t status)
{
	host_mutex_lock(&pm->lock);
	pm->state.status |= status;
	acpi_pm_update(pm);
	host_mutex_unlock(&pm->lock);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
	acpi_pm_raise(pm, PM1_POWER_BUTTON);
}

void acpi_pm_raise_gpe(struct acpi_pm *pm, unsigned gpe)
{
	if (gpe >= 64)
		return;
	host_mutex_lock(&pm->lock);
	pm->state.gpe0_status[gpe / 32] |= UINT32_C(1) << (gpe % 32);
	acpi_pm_update(pm);
	host_mutex_unlock(&pm->lock);
}

/* ---- life ---- */

void acpi_pm_init(struct acpi_pm *pm, const struct acpi_pm_config *config)
{
	*pm = (struct acpi_pm){ .config = *config };
	timer_init(&pm->overflow, config->timers, acpi_pm_overflow, pm);
	pm->block = (struct bus_region){ .len = ACPI_PM_PORTS, .ops = &block_ops, .dev = pm, .lock = &pm->lock };
	pm->apm = (struct bus_region){ .base = APM_PORT, .len = 2, .ops = &apm_ops, .dev = pm, .lock = &pm->lock };
	acpi_pm_reset(pm);
}

void acpi_pm_fini(struct acpi_pm *pm)
{
	if (pm->overflow.service)
		timer_disarm(&pm->overflow);
}

void acpi_pm_reset(struct acpi_pm *pm)
{
	host_mutex_lock(&pm->lock);
	pm->state = (struct acpi_pm_state){
		.base = pm->state.base,
		.timer_origin_ns = timer_now(&pm->overflow),
		.smi_enable = SMI_APMC_EN,
		.control = pm->config.acpi_always ? CONTROL_SCI_EN : 0,
	};
	acpi_pm_update(pm);
	host_mutex_unlock(&pm->lock);
}

void acpi_pm_get_state(struct acpi_pm *pm, struct acpi_pm_state *out)
{
	host_mutex_lock(&pm->lock);
	acpi_pm_update_timer(pm);
	*out = pm->state;
	host_mutex_unlock(&pm->lock);
}

enum lodge_err acpi_pm_set_state(struct acpi_pm *pm, const struct acpi_pm_state *in)
{
	if ((in->status & ~PM1_STATUS_BITS) || (in->enable & ~PM1_ENABLE_BITS) || (in->control & ~CONTROL_BITS) ||
	    in->base % ACPI_PM_PORTS)
		return LODGE_ERR_FORMAT;
	host_mutex_lock(&pm->lock);
	pm->state = *in;
	acpi_pm_update(pm);
	host_mutex_unlock(&pm->lock);
	acpi_pm_set_base(pm, in->base);
	return LODGE_OK;
}
