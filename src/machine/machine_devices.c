/* SPDX-License-Identifier: Apache-2.0 */
/* Every chip of the board: its wires, its place on the buses, its reset. One function a group of chips. */
#include "base/mem.h"
#include "cpu/x86/cpu.h"
#include "machine/machine_internal.h"

#define CPUID_1_ECX_X2APIC (1u << 21)
#define CPUID_1_ECX_TSC_DEADLINE (1u << 24)
#define KVM_FEATURE_PV_EOI 6
#define HPET_FIRST_FREE_GSI 20u

static void gate_set(void *ctx, unsigned pin, bool level)
{
	struct machine_gate *g = ctx;

	(void)pin;
	host_mutex_lock(&g->lock);
	g->level = level;
	if (!g->cut)
		irq_line_set(&g->out, level);
	host_mutex_unlock(&g->lock);
}

static void gate_cut(struct machine_gate *g, bool cut)
{
	host_mutex_lock(&g->lock);
	if (g->cut != cut) {
		g->cut = cut;
		irq_line_set(&g->out, !cut && g->level);
	}
	host_mutex_unlock(&g->lock);
}

static struct irq_line gate_line(struct machine_gate *g, struct irq_line out)
{
	*g = (struct machine_gate){ .out = out };
	return (struct irq_line){ .set = gate_set, .ctx = g };
}

static enum lodge_err add_regions(struct bus *bus, struct bus_region *regions, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		enum lodge_err rc = bus_add(bus, &regions[i]);

		if (rc != LODGE_OK)
			return rc;
	}
	return LODGE_OK;
}

/* ---- interrupt controllers ---- */

static void lapic_request(void *ctx, unsigned vcpu, enum lapic_request what, uint32_t arg)
{
	struct machine *m = ctx;
	static const uint32_t bits[] = {
		[LAPIC_REQ_INTR] = CPU_REQ_INTR,
		[LAPIC_REQ_NMI] = CPU_REQ_NMI,
		[LAPIC_REQ_INIT] = CPU_REQ_INIT,
		[LAPIC_REQ_SIPI] = CPU_REQ_SIPI,
	};

	m->config.vcpu_request(m->config.ctx, vcpu, bits[what], arg);
}

static void lapic_eoi_broadcast(void *ctx, uint8_t vector)
{
	struct machine *m = ctx;

	ioapic_eoi(&m->ioapic, vector);
}

static uint8_t extint_ack(void *ctx)
{
	struct machine *m = ctx;

	return i8259_ack(&m->pic);
}

static uint64_t lapic_tsc_to_ns(void *ctx, unsigned vcpu, uint64_t guest_tsc)
{
	struct machine *m = ctx;

	return m->config.tsc_to_ns(m->config.ctx, vcpu, guest_tsc);
}

static void pic_output(void *ctx, unsigned pin, bool level)
{
	struct machine *m = ctx;

	(void)pin;
	lapic_set_lint0(&m->vcpu[0].lapic, level);
}

static enum lodge_err create_lapics(struct machine *m)
{
	struct cpuid_regs leaf1;
	enum lodge_err rc = LODGE_OK;

	cpu_model_cpuid(m->config.model, 0, 0, 0, 1, 0, &leaf1);
	lapic_bus_init(&m->lapics);
	for (unsigned i = 0; i < m->config.vcpus && rc == LODGE_OK; i++) {
		struct machine_vcpu *v = &m->vcpu[i];
		struct lapic_config c = {
			.id = i,
			.bsp = i == 0,
			.x2apic = leaf1.ecx & CPUID_1_ECX_X2APIC,
			.tsc_deadline = (leaf1.ecx & CPUID_1_ECX_TSC_DEADLINE) && m->config.tsc_to_ns,
			.gpa_bits = m->config.model->phys_bits,
			.timers = m->config.timers,
			.request = lapic_request,
			.eoi = lapic_eoi_broadcast,
			.extint_ack = i == 0 ? extint_ack : NULL,
			.tsc_to_ns = m->config.tsc_to_ns ? lapic_tsc_to_ns : NULL,
			.ctx = m,
			.pv_eoi_msr = m->config.model->pv_features >> KVM_FEATURE_PV_EOI & 1 ? &v->pv_eoi_msr : NULL,
			.mem = m->config.mem,
		};

		v->machine = m;
		v->index = i;
		lapic_init(&v->lapic, &c);
		rc = lapic_bus_add(&m->lapics, &v->lapic);
	}
	return rc;
}

static enum lodge_err create_irq_controllers(struct machine *m)
{
	const struct apic_sink sink = { .deliver = lapic_bus_deliver, .ctx = &m->lapics };
	enum lodge_err rc = create_lapics(m);

	i8259_init(&m->pic, &(struct i8259_config){ .output = { .set = pic_output, .ctx = m } });
	ioapic_init(&m->ioapic, &(struct ioapic_config){ .base = MACHINE_IOAPIC, .sink = sink });
	irq_hub_init(&m->hub,
		     &(struct irq_hub_config){
			     .pic_set = i8259_set_pin, .pic = &m->pic, .ioapic_set = ioapic_set_pin, .ioapic = &m->ioapic });
	msi_init(&m->msi, &sink);
	if (rc == LODGE_OK)
		rc = add_regions(&m->ports, m->pic.ports, ARRAY_LEN(m->pic.ports));
	if (rc == LODGE_OK)
		rc = bus_add(&m->mmio, &m->ioapic.mmio);
	return rc;
}

/* ---- timers ---- */

static void hpet_legacy_changed(void *ctx, bool on)
{
	struct machine *m = ctx;

	gate_cut(&m->pit_gate, on);
	gate_cut(&m->rtc_gate, on);
}

static enum lodge_err create_hpet(struct machine *m)
{
	struct hpet_config c = {
		.base = MACHINE_HPET, .timers = m->config.timers, .legacy_changed = hpet_legacy_changed, .ctx = m
	};

	if (!m->config.hpet)
		return LODGE_OK;
	for (unsigned gsi = HPET_FIRST_FREE_GSI; gsi < HPET_GSIS; gsi++)
		c.gsi[gsi] = irq_hub_line(&m->hub, gsi);
	c.legacy[0] = irq_hub_line(&m->hub, 0);
	c.legacy[1] = irq_hub_line(&m->hub, 8);
	hpet_init(&m->hpet, &c);
	return bus_add(&m->mmio, &m->hpet.mmio);
}

static enum lodge_err create_timers(struct machine *m)
{
	const struct timer_service *timers = m->config.timers;
	struct irq_line pit_irq = gate_line(&m->pit_gate, irq_hub_line(&m->hub, 0));
	struct irq_line rtc_irq = gate_line(&m->rtc_gate, irq_hub_line(&m->hub, 8));
	enum lodge_err rc;

	i8254_init(&m->pit, &(struct i8254_config){ .irq = pit_irq, .timers = timers });
	mc146818_init(&m->rtc, &(struct mc146818_config){ .irq = rtc_irq,
							  .timers = timers,
							  .ram_below_4g = m->memory.low_bytes,
							  .ram_above_4g = m->memory.high_bytes,
							  .vcpus = m->config.vcpus });
	acpi_pm_init(&m->pm, &(struct acpi_pm_config){ .sci = irq_hub_line(&m->hub, MACHINE_SCI),
						       .timer_32bit = false,
						       .acpi_always = true,
						       .timers = timers,
						       .events = m->config.events,
						       .port_bus = &m->ports });
	rc = bus_add(&m->ports, &m->pit.ports);
	if (rc == LODGE_OK)
		rc = bus_add(&m->ports, &m->rtc.ports);
	if (rc == LODGE_OK)
		rc = bus_add(&m->ports, &m->pm.apm);
	if (rc == LODGE_OK)
		rc = create_hpet(m);
	return rc;
}

/* ---- PCI ---- */

static void pam_changed(void *ctx)
{
	struct machine *m = ctx;

	if (!m->in_reset && machine_apply_shadow(m) != LODGE_OK)
		log_guest(m->config.log, "PAM registers ask for a memory map that cannot be built; it stays as it was");
}

static void pmbase_changed(void *ctx, uint16_t base)
{
	struct machine *m = ctx;

	acpi_pm_set_base(&m->pm, base);
}

static enum lodge_err create_lpc(struct machine *m, bool direct)
{
	struct ich9_lpc_config c = {
		.pmbase = direct ? MACHINE_PMBASE : 0, .pmbase_changed = pmbase_changed, .ctx = m, .mmio_bus = &m->mmio
	};

	for (unsigned i = 0; i < PCI_PIRQS; i++)
		c.ioapic[i] = irq_hub_line(&m->hub, MACHINE_PCI_GSI_BASE + i);
	for (unsigned i = 0; i < ARRAY_LEN(c.isa); i++)
		c.isa[i] = irq_hub_pic_line(&m->hub, i);
	return ich9_lpc_init(&m->lpc, &m->pci, &c);
}

static enum lodge_err create_pci(struct machine *m)
{
	bool direct = m->config.boot == MACHINE_BOOT_DIRECT;
	struct pci_bus_config c = { .port_bus = &m->ports,
				    .mmio_bus = &m->mmio,
				    .cf9_read = system_ports_cf9_read,
				    .cf9_write = system_ports_cf9_write,
				    .cf9_ctx = &m->system_ports };
	struct q35_host_config host = { .pciexbar = direct ? MACHINE_PCIEXBAR : 0,
					.ram_low_mib = (uint16_t)(m->memory.low_bytes >> 20),
					.ram_high_end = m->memory.high_bytes ? MACHINE_RAM_HIGH + m->memory.high_bytes : 0,
					.pam_changed = pam_changed,
					.ctx = m };
	enum lodge_err rc;

	for (unsigned i = 0; i < PCI_PIRQS; i++)
		c.pirq[i] = (struct irq_line){ .set = ich9_lpc_set_pirq, .ctx = &m->lpc, .pin = i };
	pci_bus_init(&m->pci, &c);
	rc = bus_add(&m->ports, &m->pci.ports);
	if (rc == LODGE_OK)
		rc = q35_host_init(&m->host_bridge, &m->pci, &host);
	if (rc == LODGE_OK)
		rc = create_lpc(m, direct);
	return rc;
}

/* ---- serial ports and the small chips ---- */

static enum lodge_err create_serial(struct machine *m)
{
	static const struct { uint16_t base; uint8_t irq; } where[MACHINE_SERIAL_PORTS] = { { 0x3f8, 4 }, { 0x2f8, 3 } };
	enum lodge_err rc = LODGE_OK;

	for (unsigned i = 0; i < MACHINE_SERIAL_PORTS && rc == LODGE_OK; i++) {
		uart_16550_init(&m->uart[i], &(struct uart_16550_config){ .base = where[i].base,
									  .irq = irq_hub_line(&m->hub, where[i].irq),
									  .out = m->config.serial[i],
									  .timers = m->config.timers });
		rc = bus_add(&m->ports, &m->uart[i].ports);
	}
	return rc;
}

static void set_gate2(void *pit, bool level) { i8254_set_gate2(pit, level); }
static bool out2(void *pit) { return i8254_out2(pit); }

static enum lodge_err create_platform(struct machine *m)
{
	const struct machine_events events = m->config.events;
	enum lodge_err rc;

	i8042_init(&m->kbc, &(struct i8042_config){ .keyboard_irq = irq_hub_line(&m->hub, 1),
						    .mouse_irq = irq_hub_line(&m->hub, 12),
						    .events = events });
	system_ports_init(
		&m->system_ports,
		&(struct system_ports_config){
			.set_gate2 = set_gate2, .out2 = out2, .pit = &m->pit, .events = events, .timers = m->config.timers });
	pvpanic_init(&m->pvpanic, &(struct pvpanic_config){ .events = events });
	rc = add_regions(&m->ports, m->kbc.ports, ARRAY_LEN(m->kbc.ports));
	if (rc == LODGE_OK)
		rc = add_regions(&m->ports, m->system_ports.ports, ARRAY_LEN(m->system_ports.ports));
	if (rc == LODGE_OK)
		rc = bus_add(&m->ports, &m->pvpanic.port);
	return rc;
}

static enum lodge_err create_debug_ports(struct machine *m, struct lodge_error *err)
{
	if (m->config.debug_port_402) {
		debugcon_init(&m->debugcon, &(struct debugcon_config){ .out = m->config.debugcon });
		if (bus_add(&m->ports, &m->debugcon.port) != LODGE_OK)
			return error_set(err, LODGE_ERR_INTERNAL, "port 402h is taken");
	}
	if (m->config.debug_exit) {
		debug_exit_init(&m->debug_exit,
				&(struct debug_exit_config){ .port = m->config.debug_exit_port, .events = m->config.events });
		if (bus_add(&m->ports, &m->debug_exit.port) != LODGE_OK)
			return error_set(err, LODGE_ERR_ARG,
					 "the debug exit port 0x%x collides with another device; choose another one",
					 m->config.debug_exit_port);
	}
	return LODGE_OK;
}

enum lodge_err machine_devices_create(struct machine *m, struct lodge_error *err)
{
	enum lodge_err rc;

	rc = create_irq_controllers(m);
	if (rc == LODGE_OK)
		rc = create_timers(m);
	if (rc == LODGE_OK)
		rc = create_pci(m);
	if (rc == LODGE_OK)
		rc = machine_virtio_create(m);
	if (rc == LODGE_OK)
		rc = create_serial(m);
	if (rc == LODGE_OK)
		rc = create_platform(m);
	fw_cfg_init(&m->fw_cfg, m->config.mem);
	if (rc == LODGE_OK)
		rc = bus_add(&m->ports, &m->fw_cfg.region);
	if (rc == LODGE_OK && m->vars)
		rc = bus_add(&m->mmio, &m->flash_vars.region);
	m->devices_ready = rc == LODGE_OK;
	if (rc != LODGE_OK)
		return error_set(err, LODGE_ERR_INTERNAL, "the machine's devices do not fit together (%s)", lodge_err_name(rc));
	return create_debug_ports(m, err);
}

/* Sources of interrupts first, so that nothing is left asserted when the controllers start afresh. */
void machine_devices_reset(struct machine *m)
{
	irq_hub_reset(&m->hub);
	i8259_reset(&m->pic);
	ioapic_reset(&m->ioapic);
	for (unsigned i = 0; i < m->config.vcpus; i++) {
		m->vcpu[i].pv_eoi_msr = 0;
		lapic_reset(&m->vcpu[i].lapic);
	}
	gate_cut(&m->pit_gate, false);
	gate_cut(&m->rtc_gate, false);
	i8254_reset(&m->pit);
	mc146818_reset(&m->rtc);
	if (m->config.hpet)
		hpet_reset(&m->hpet);
	acpi_pm_reset(&m->pm);
	pci_bus_reset(&m->pci);
	q35_host_reset(&m->host_bridge);
	ich9_lpc_reset(&m->lpc);
	machine_virtio_reset(m);
	for (unsigned i = 0; i < MACHINE_SERIAL_PORTS; i++)
		uart_16550_reset(&m->uart[i]);
	i8042_reset(&m->kbc);
	system_ports_reset(&m->system_ports);
	fw_cfg_reset(&m->fw_cfg);
	if (m->vars)
		flash_cfi_reset(&m->flash_vars);
}

void machine_devices_destroy(struct machine *m)
{
	for (unsigned i = 0; i < MACHINE_SERIAL_PORTS; i++)
		uart_16550_fini(&m->uart[i]);
	system_ports_fini(&m->system_ports);
	i8042_fini(&m->kbc);
	if (m->config.hpet)
		hpet_fini(&m->hpet);
	acpi_pm_fini(&m->pm);
	mc146818_fini(&m->rtc);
	i8254_fini(&m->pit);
	pci_bus_fini(&m->pci);
	for (unsigned i = 0; i < m->config.vcpus; i++)
		lapic_fini(&m->vcpu[i].lapic);
	ioapic_fini(&m->ioapic);
	i8259_fini(&m->pic);
}
