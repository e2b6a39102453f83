/* SPDX-License-Identifier: Apache-2.0 */
/* The board: creation in the order in which one would build it, reset, and what its owner may do to it. */
#include "machine/machine.h"

#include "base/mem.h"
#include "machine/machine_internal.h"

static enum lodge_err config_check(const struct machine_config *c, struct lodge_error *err)
{
	if (c->vcpus < 1 || c->vcpus > MACHINE_VCPUS_MAX)
		return error_set(err, LODGE_ERR_ARG, "%u vcpus are not possible; a machine has 1 to %d", c->vcpus,
				 MACHINE_VCPUS_MAX);
	if (c->boot == MACHINE_BOOT_DIRECT && !c->kernel.bytes)
		return error_set(err, LODGE_ERR_ARG, "%s: the kernel file is empty",
				 c->kernel.name ? c->kernel.name : "no kernel given");
	if (!c->mem || !c->model || !c->timers || !c->vcpu_request)
		return error_set(err, LODGE_ERR_INTERNAL, "the machine's configuration is incomplete");
	return LODGE_OK;
}

enum lodge_err machine_apply_shadow(struct machine *m)
{
	struct q35_pam_segment pam[Q35_PAM_SEGMENTS];
	uint8_t bits[MACHINE_SHADOW_SEGMENTS] = { 0 };
	bool changed;
	enum lodge_err rc;

	q35_host_pam(&m->host_bridge, pam);
	for (unsigned i = 0; i < Q35_PAM_SEGMENTS; i++)
		for (uint32_t at = pam[i].base; at < pam[i].base + pam[i].bytes; at += 0x4000)
			bits[(at - MACHINE_SHADOW_BASE) / 0x4000] = (uint8_t)((pam[i].read_ram ? MACHINE_SHADOW_READ : 0) |
									      (pam[i].write_ram ? MACHINE_SHADOW_WRITE : 0));
	rc = machine_memory_set_shadow(&m->memory, bits, &changed);
	if (rc == LODGE_OK && changed && m->config.memory_changed)
		m->config.memory_changed(m->config.ctx);
	return rc;
}

/* The first map, so that engines see memory before the first reset: as that reset will leave it. */
static enum lodge_err memory_create(struct machine *m, struct lodge_error *err)
{
	uint8_t bits[MACHINE_SHADOW_SEGMENTS];
	bool changed;
	enum lodge_err rc = machine_memory_init(&m->memory, m->config.mem, m->rom, m->rom_bytes, err);

	if (rc != LODGE_OK)
		return rc;
	memset(bits, m->config.boot == MACHINE_BOOT_DIRECT ? MACHINE_SHADOW_READ | MACHINE_SHADOW_WRITE : 0, sizeof(bits));
	if (machine_memory_add_shadow(&m->memory, &m->mmio) != LODGE_OK ||
	    machine_memory_set_shadow(&m->memory, bits, &changed) != LODGE_OK)
		return error_set(err, LODGE_ERR_INTERNAL, "the guest memory map cannot be built");
	return LODGE_OK;
}

enum lodge_err machine_create(const struct machine_config *config, struct machine **out, struct lodge_error *err)
{
	struct machine *m;
	enum lodge_err rc = config_check(config, err);

	if (rc != LODGE_OK)
		return rc;
	m = host_alloc(sizeof(*m), 64);
	if (!m)
		return error_set(err, LODGE_ERR_NOMEM, "the host has no memory left for a machine");
	m->config = *config;
	bus_init(&m->ports);
	bus_init(&m->mmio);

	rc = machine_firmware_load(m, err);
	if (rc == LODGE_OK)
		rc = memory_create(m, err);
	if (rc == LODGE_OK)
		rc = machine_devices_create(m, err);
	if (rc == LODGE_OK)
		rc = machine_tables_build(m, err);
	if (rc == LODGE_OK)
		rc = machine_fw_cfg_fill(m, err);
	if (rc != LODGE_OK) {
		machine_destroy(m);
		return rc;
	}
	*out = m;
	return LODGE_OK;
}

void machine_destroy(struct machine *m)
{
	if (!m)
		return;
	machine_virtio_stop(m);
	if (m->devices_ready)
		machine_devices_destroy(m);
	host_free(m->virtio);
	machine_firmware_free(m);
	host_free(m);
}

enum lodge_err machine_reset(struct machine *m, struct lodge_error *err)
{
	enum lodge_err rc = LODGE_OK;

	m->in_reset = true;
	machine_devices_reset(m);
	m->entry = (struct boot_entry){ 0 };
	if (m->config.boot == MACHINE_BOOT_DIRECT) {
		rc = machine_direct_boot(m, err);
	} else if (machine_apply_shadow(m) != LODGE_OK) {
		rc = error_set(err, LODGE_ERR_INTERNAL, "the guest memory map cannot be rebuilt");
	}
	m->in_reset = false;
	return rc;
}

const struct chardev_client *machine_serial(struct machine *m, unsigned port)
{
	return port < MACHINE_SERIAL_PORTS ? &m->uart[port].client : NULL;
}

struct bus *machine_port_bus(struct machine *m) { return &m->ports; }
struct bus *machine_mmio_bus(struct machine *m) { return &m->mmio; }
void machine_nmi(struct machine *m) { lapic_pulse_lint1(&m->vcpu[0].lapic); }
void machine_power_button(struct machine *m) { acpi_pm_power_button(&m->pm); }

void *machine_vcpu_ctx(struct machine *m, unsigned vcpu)
{
	return vcpu < m->config.vcpus ? &m->vcpu[vcpu] : NULL;
}
