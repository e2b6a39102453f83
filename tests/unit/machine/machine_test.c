/* SPDX-License-Identifier: Apache-2.0 */
/* The whole board without a CPU: layout, direct boot's state, firmware's view, two machines at once, senseless accesses. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "unit.h"
#include "base/types.h"
#include "boot/bzimage.h"
#include "cpu/x86/cpuid.h"
#include "devices/platform/fw_cfg.h"
#include "machine/machine.h"
#include "machine/machine_memory.h"

#define MIB_BYTES (UINT64_C(1) << 20)
#define GIB_BYTES (UINT64_C(1) << 30)

struct board {
	struct guest_memory mem;
	struct x86_cpu_model model;
	struct timer_service timers;
	struct log log;
	struct machine_config config;
	struct machine *m;
	struct lodge_error err;
	uint64_t now;
	struct timer *armed[128];
	unsigned narmed;
	unsigned events[8], requests, map_changes, serial_bytes;
	uint8_t serial_last;
	uint8_t kernel[64 * 1024];
	uint8_t firmware[256 * 1024];
	uint8_t vars[16 * 4096];
};

static uint64_t fake_now(void *ctx) { return ((struct board *)ctx)->now += 1000; }
static void fake_arm(void *ctx, struct timer *t, uint64_t deadline_ns)
{
	struct board *b = ctx;

	t->deadline_ns = deadline_ns;
	if (t->heap_index)
		return;
	assert_true(b->narmed < 128);
	b->armed[b->narmed++] = t;
	t->heap_index = b->narmed;
}
static void fake_disarm(void *ctx, struct timer *t)
{
	struct board *b = ctx;

	if (!t->heap_index)
		return;
	b->armed[t->heap_index - 1] = b->armed[--b->narmed];
	b->armed[t->heap_index - 1]->heap_index = t->heap_index;
	t->heap_index = 0;
}
/* Let a second pass; whatever is due fires, at most once each. */
static void fire_timers(struct board *b)
{
	b->now += 1000000000;
	for (unsigned i = b->narmed; i-- > 0;) {
		struct timer *t = i < b->narmed ? b->armed[i] : NULL;

		if (t && t->deadline_ns <= b->now) {
			fake_disarm(b, t);
			t->fn(t->fn_ctx);
		}
	}
}
static void on_event(void *ctx, enum machine_event event, uint32_t value)
{
	(void)value;
	((struct board *)ctx)->events[event]++;
}
static void on_request(void *ctx, unsigned vcpu, uint32_t bits, uint32_t arg)
{
	(void)vcpu;
	(void)bits;
	(void)arg;
	((struct board *)ctx)->requests++;
}
static void on_map_change(void *ctx) { ((struct board *)ctx)->map_changes++; }
static uint64_t tsc_to_ns(void *ctx, unsigned vcpu, uint64_t tsc)
{
	(void)ctx;
	(void)vcpu;
	return tsc;
}
static size_t serial_write(void *ctx, const uint8_t *buf, size_t len)
{
	struct board *b = ctx;

	b->serial_bytes += (unsigned)len;
	if (len)
		b->serial_last = buf[len - 1];
	return len;
}

/* Just enough of a bzImage. */
static void make_kernel(uint8_t *d)
{
	d[LINUX_HDR_SETUP_SECTS] = 3;
	put_le16(d + LINUX_HDR_BOOT_FLAG, 0xaa55);
	d[LINUX_HDR_JUMP + 1] = 0x6a;
	memcpy(d + LINUX_HDR_MAGIC, "HdrS", 4);
	put_le16(d + LINUX_HDR_VERSION, 0x20f);
	d[LINUX_HDR_LOADFLAGS] = 1;
	put_le32(d + LINUX_HDR_INITRD_ADDR_MAX, 0x7fffffff);
	put_le32(d + LINUX_HDR_KERNEL_ALIGNMENT, 0x200000);
	d[LINUX_HDR_RELOCATABLE] = 1;
	put_le16(d + LINUX_HDR_XLOADFLAGS, 1);
	put_le32(d + LINUX_HDR_CMDLINE_SIZE, 2047);
	put_le64(d + LINUX_HDR_PREF_ADDRESS, 0x1000000);
	put_le32(d + LINUX_HDR_INIT_SIZE, 0x100000);
}

static struct board *board_new(uint64_t ram_bytes, unsigned vcpus, bool firmware)
{
	struct board *b = calloc(1, sizeof(*b));
	void *ram = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_non_null(b);
	assert_ptr_not_equal(ram, MAP_FAILED);
	memory_init(&b->mem, -1, ram, ram_bytes);
	assert_int_equal(
		cpu_model_build(&b->model, CPU_V2, CPU_VENDOR_INTEL, CPU_SPEC_SOFT_ASSUMED, vcpus, 2000000, false, &b->err),
		LODGE_OK);
	log_init(&b->log, NULL, NULL, LOG_ERROR);
	make_kernel(b->kernel);
	memset(b->firmware, 0xf4, sizeof(b->firmware));
	b->firmware[0] = 0x11;
	b->firmware[sizeof(b->firmware) - 0x20000] = 0x22;
	memset(b->vars, 0xff, sizeof(b->vars));
	b->timers = (struct timer_service){ fake_now, fake_arm, fake_disarm, b };
	b->config = (struct machine_config){
		.vcpus = vcpus,
		.mem = &b->mem,
		.model = &b->model,
		.boot = firmware ? MACHINE_BOOT_FIRMWARE : MACHINE_BOOT_DIRECT,
		.kernel = { b->kernel, sizeof(b->kernel), "kernel" },
		.cmdline = "quiet",
		.hpet = true,
		.debug_exit = true,
		.debug_port_402 = true,
		.timers = &b->timers,
		.events = { on_event, b },
		.log = &b->log,
		.vcpu_request = on_request,
		.memory_changed = on_map_change,
		.tsc_to_ns = tsc_to_ns,
		.ctx = b,
	};
	b->config.serial[0] = b->config.serial[1] = b->config.debugcon = (struct chardev){ .write = serial_write, .ctx = b };
	if (firmware) {
		b->config.firmware = (struct machine_blob){ b->firmware, sizeof(b->firmware), "firmware" };
		b->config.firmware_vars = (struct machine_blob){ b->vars, sizeof(b->vars), "vars" };
	}
	return b;
}

static void board_start(struct board *b)
{
	assert_int_equal(machine_create(&b->config, &b->m, &b->err), LODGE_OK);
	assert_int_equal(machine_reset(b->m, &b->err), LODGE_OK);
}

static void board_free(struct board *b)
{
	machine_destroy(b->m);
	munmap(b->mem.ram_hva, b->mem.ram_bytes);
	free(b);
}

static uint64_t in(struct board *b, uint16_t port, unsigned size)
{
	return machine_env()->port_in(machine_vcpu_ctx(b->m, 0), port, size);
}
static void out(struct board *b, uint16_t port, unsigned size, uint32_t v)
{
	machine_env()->port_out(machine_vcpu_ctx(b->m, 0), port, size, v);
}
static uint64_t rd(struct board *b, uint64_t at, unsigned size)
{
	return machine_env()->mmio_read(machine_vcpu_ctx(b->m, 0), at, size);
}
static void wr(struct board *b, uint64_t at, unsigned size, uint64_t v)
{
	machine_env()->mmio_write(machine_vcpu_ctx(b->m, 0), at, size, v);
}

static bool has_ram(struct board *b, uint64_t at)
{
	struct memory_page p;

	memory_page_lookup(&b->mem, gpa(at), &p);
	return p.read_hva && p.write_hva && p.ram_page != MEMORY_NO_RAM_PAGE;
}

static void ram_lies_around_the_holes(void **state)
{
	struct board *b = board_new(3 * GIB_BYTES, 1, false);
	struct memory_page p;

	(void)state;
	board_start(b);
	assert_true(has_ram(b, 0));
	assert_true(has_ram(b, 0x9f000));
	assert_false(has_ram(b, 0xa0000));
	assert_false(has_ram(b, 0xbf000));
	assert_true(has_ram(b, 0xc0000));
	assert_true(has_ram(b, 0xff000));
	assert_true(has_ram(b, 2 * GIB_BYTES - 4096));
	assert_false(has_ram(b, 2 * GIB_BYTES));
	assert_false(has_ram(b, MACHINE_PCIEXBAR));
	assert_false(has_ram(b, MACHINE_LAPIC));
	assert_true(has_ram(b, 4 * GIB_BYTES));
	memory_page_lookup(&b->mem, gpa(4 * GIB_BYTES), &p);
	assert_int_equal(p.ram_page, (2 * GIB_BYTES) >> 12);
	assert_true(has_ram(b, 5 * GIB_BYTES - 4096));
	assert_false(has_ram(b, 5 * GIB_BYTES));
	assert_int_equal(b->map_changes, 0);
	board_free(b);
}

static void direct_boot_starts_in_long_mode(void **state)
{
	struct board *b = board_new(64 * MIB_BYTES, 2, false);
	struct x86_state s = { .cr0 = 0x60000010 };

	(void)state;
	board_start(b);
	machine_boot_state(b->m, 0, &s);
	assert_int_equal(s.rip, 0x1000200);
	assert_int_equal(s.gpr[X86_RSI], BOOT_INFO);
	assert_int_equal(s.cr0, X86_CR0_PG | X86_CR0_NE | X86_CR0_ET | X86_CR0_PE);
	assert_int_equal(s.cr3, BOOT_PAGE_TABLES);
	assert_int_equal(s.cr4, X86_CR4_PAE);
	assert_int_equal(s.msr.efer, X86_EFER_LME | X86_EFER_LMA);
	assert_int_equal(s.seg[X86_CS].attr, 0xa9b);
	assert_int_equal(s.seg[X86_DS].attr, 0xc93);
	assert_int_equal(s.tr.attr, 0x8b);
	s = (struct x86_state){ .rip = 0xfff0, .activity = X86_WAIT_SIPI };
	machine_boot_state(b->m, 1, &s);
	assert_int_equal(s.rip, 0xfff0);
	assert_int_equal(s.msr.mtrr_def_type, 0x806);
	board_free(b);
}

static void direct_boot_finds_tables_and_chipset_ready(void **state)
{
	struct board *b = board_new(64 * MIB_BYTES, 4, false);
	char sig[8];
	uint32_t pmtimer;

	(void)state;
	board_start(b);
	assert_int_equal(guest_read(&b->mem, gpa(0xe0000), sig, 8), LODGE_OK);
	assert_memory_equal(sig, "RSD PTR ", 8);
	assert_int_equal(guest_read(&b->mem, gpa(0xf0000), sig, 5), LODGE_OK);
	assert_memory_equal(sig, "_SM3_", 5);
	out(b, 0xcf8, 4, 0x80000000);
	assert_int_equal(in(b, 0xcfc, 4), 0x29c08086);
	assert_int_equal(rd(b, MACHINE_PCIEXBAR, 4), 0x29c08086);
	pmtimer = (uint32_t)in(b, 0x608, 4);
	b->now += 1000000;
	assert_true(((uint32_t)in(b, 0x608, 4) - pmtimer) % (1u << 24) > 3000);
	assert_int_equal(in(b, 0x604, 2) & 1, 1);
	assert_int_equal(rd(b, MACHINE_LAPIC + 0x30, 4) & 0xff, 0x14);
	assert_int_equal(rd(b, MACHINE_HPET, 4) >> 16, 0x8086);
	out(b, 0x402, 1, 'x');
	assert_int_equal(b->serial_last, 'x');
	out(b, 0x3f8, 1, 'y');
	assert_int_equal(b->serial_last, 'y');
	board_free(b);
}

static void power_reset_panic_and_exit_are_reported(void **state)
{
	struct board *b = board_new(64 * MIB_BYTES, 1, false);

	(void)state;
	board_start(b);
	out(b, 0x604, 2, 0x2001);
	assert_int_equal(b->events[MACHINE_POWER_OFF], 1);
	out(b, 0xcf9, 1, 0x02);
	out(b, 0xcf9, 1, 0x06);
	assert_int_equal(b->events[MACHINE_RESET], 1);
	out(b, 0x64, 1, 0xfe);
	assert_int_equal(b->events[MACHINE_RESET], 2);
	out(b, 0x505, 1, 1);
	assert_int_equal(b->events[MACHINE_PANIC], 1);
	out(b, 0xf4, 4, 3);
	assert_int_equal(b->events[MACHINE_DEBUG_EXIT], 1);
	board_free(b);
}

static void firmware_sees_rom_until_it_opens_pam(void **state)
{
	struct board *b = board_new(64 * MIB_BYTES, 1, true);
	struct memory_page p;
	uint8_t byte = 0;

	(void)state;
	board_start(b);
	memory_page_lookup(&b->mem, gpa(0xfffc0000), &p);
	assert_non_null(p.read_hva);
	assert_null(p.write_hva);
	assert_int_equal(p.read_hva[0], 0x11);
	memory_page_lookup(&b->mem, gpa(0xe0000), &p);
	assert_int_equal(p.read_hva[0], 0x22);
	assert_null(p.write_hva);
	assert_false(has_ram(b, 0xc0000));
	/* PAM5, E0000h..E3FFFh: write to RAM, read ROM; then both RAM */
	out(b, 0xcf8, 4, 0x80000094);
	out(b, 0xcfd, 1, 0x02);
	wr(b, 0xe0000, 1, 0x77);
	memory_page_lookup(&b->mem, gpa(0xe0000), &p);
	assert_int_equal(p.read_hva[0], 0x22);
	out(b, 0xcfd, 1, 0x03);
	assert_true(has_ram(b, 0xe0000));
	assert_int_equal(guest_read(&b->mem, gpa(0xe0000), &byte, 1), LODGE_OK);
	assert_int_equal(byte, 0x77);
	assert_false(has_ram(b, 0xe4000));
	assert_true(b->map_changes >= 1);
	/* and back at reset */
	assert_int_equal(machine_reset(b->m, &b->err), LODGE_OK);
	assert_false(has_ram(b, 0xe0000));
	board_free(b);
}

static void variables_live_in_flash_below_the_code(void **state)
{
	struct board *b = board_new(64 * MIB_BYTES, 1, true);
	uint64_t base = 0x100000000 - sizeof(b->firmware) - sizeof(b->vars);

	(void)state;
	board_start(b);
	assert_int_equal(rd(b, base, 8), UINT64_MAX);
	wr(b, base + 0x10, 1, 0x40);
	wr(b, base + 0x10, 1, 0xa5);
	wr(b, base, 1, 0xff);
	assert_int_equal(rd(b, base + 0x10, 1), 0xa5);
	assert_int_equal(b->vars[0x10], 0xff);
	board_free(b);
}

static void fw_cfg_describes_the_machine(void **state)
{
	struct board *b = board_new(3 * GIB_BYTES, 4, true);

	(void)state;
	board_start(b);
	out(b, 0x510, 2, FW_CFG_NB_CPUS);
	assert_int_equal(in(b, 0x511, 1), 4);
	out(b, 0x510, 2, FW_CFG_SETUP_SIZE);
	assert_int_equal(in(b, 0x511, 1), 0);
	assert_int_equal(in(b, 0x511, 1), 8);
	out(b, 0x510, 2, FW_CFG_FILE_DIR);
	assert_int_equal(in(b, 0x511, 1), 0);
	assert_int_equal(in(b, 0x511, 1), 0);
	assert_int_equal(in(b, 0x511, 1), 0);
	assert_int_equal(in(b, 0x511, 1), 9);
	board_free(b);
}

static void impossible_machines_are_refused_with_a_reason(void **state)
{
	struct board *b = board_new(64 * MIB_BYTES, 1, true);
	struct machine_config good = b->config;

	(void)state;
#define REFUSED(code) \
	do { \
		memset(&b->err, 0, sizeof(b->err)); \
		assert_int_equal(machine_create(&b->config, &b->m, &b->err), code); \
		assert_true(b->err.text[0] != 0); \
		b->mem.nranges = 0; \
		b->config = good; \
	} while (0)
	b->config.vcpus = 0;
	REFUSED(LODGE_ERR_ARG);
	b->config.vcpus = 17;
	REFUSED(LODGE_ERR_ARG);
	b->config.firmware.bytes = 1000;
	REFUSED(LODGE_ERR_FORMAT);
	b->config.firmware_vars.bytes = UINT64_MAX & ~UINT64_C(4095);
	REFUSED(LODGE_ERR_FORMAT);
	b->config.boot = MACHINE_BOOT_DIRECT;
	b->config.kernel.bytes = 0;
	REFUSED(LODGE_ERR_ARG);
	b->config.debug_exit_port = 0x3f8;
	REFUSED(LODGE_ERR_ARG);
	b->mem.ram_bytes = MIB_BYTES;
	REFUSED(LODGE_ERR_ARG);
	b->mem.ram_bytes = 64 * MIB_BYTES;
#undef REFUSED
	board_start(b);
	board_free(b);
}

static void two_machines_live_side_by_side(void **state)
{
	struct board *a = board_new(64 * MIB_BYTES, 1, false), *b = board_new(3 * GIB_BYTES, 4, true);

	(void)state;
	board_start(a);
	board_start(b);
	out(a, 0x3fb, 1, 0x1b);
	assert_int_equal(in(a, 0x3fb, 1), 0x1b);
	assert_int_not_equal(in(b, 0x3fb, 1), 0x1b);
	wr(a, MACHINE_LAPIC + 0x80, 4, 0x50);
	assert_int_equal(machine_env()->cr8_read(machine_vcpu_ctx(a->m, 0)), 5);
	assert_int_equal(machine_env()->cr8_read(machine_vcpu_ctx(b->m, 0)), 0);
	out(a, 0x604, 2, 0x2001);
	assert_int_equal(a->events[MACHINE_POWER_OFF], 1);
	assert_int_equal(b->events[MACHINE_POWER_OFF], 0);
	board_free(a);
	out(b, 0x2f8, 1, 'z');
	assert_int_equal(b->serial_last, 'z');
	board_free(b);
}

static uint64_t random_next(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* Nothing that a guest does to ports and device memory may hurt the host. Values lean to small and all-ones. */
static void senseless_accesses_are_survived(void **state)
{
	static const uint64_t base[] = {
		0xa0000, 0xc0000, 0xb0000000, 0xfec00000, 0xfed00000, 0xfed1c000, 0xfee00000, 0xfffb0000
	};
	uint64_t seed = 0x1234567;

	(void)state;
	for (unsigned firmware = 0; firmware < 2; firmware++) {
		struct board *b = board_new(64 * MIB_BYTES, 2, firmware);

		board_start(b);
		for (unsigned i = 0; i < 2000000; i++) {
			uint64_t r = random_next(&seed), v = random_next(&seed);
			unsigned size = 1u << (r & 3);

			v = r >> 60 & 1 ? v : r >> 61 & 1 ? v & 0xff : UINT64_MAX;
			if (r & 4) {
				uint16_t port = (uint16_t)(r & 8 ? r >> 16 : (r >> 16) % 0x700);

				if (r & 0x10)
					(void)in(b, port, size > 4 ? 4 : size);
				else
					out(b, port, size > 4 ? 4 : size, (uint32_t)v);
			} else {
				uint64_t at = r & 8 ? base[(r >> 8) % 8] + (r >> 16) % 0x10010 : r >> 8;

				if (r & 0x10)
					(void)rd(b, at, size);
				else
					wr(b, at, size, v);
			}
			if (i % 64 == 0 && machine_env()->intr_pending(machine_vcpu_ctx(b->m, 0)))
				(void)machine_env()->intr_ack(machine_vcpu_ctx(b->m, 0));
			if (i % 1024 == 0) {
				uint64_t msr;

				fire_timers(b);
				(void)machine_env()->apic_msr_write(machine_vcpu_ctx(b->m, 1), 0x800 + (uint32_t)(r >> 20 & 0xff),
								    v);
				(void)machine_env()->apic_msr_read(machine_vcpu_ctx(b->m, 1), 0x800 + (uint32_t)(v & 0xff), &msr);
				(void)machine_env()->hypercall(machine_vcpu_ctx(b->m, 0), r >> 40 & 15,
							       (uint64_t[4]){ v, r, v, r });
			}
		}
		assert_int_equal(machine_reset(b->m, &b->err), LODGE_OK);
		board_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ram_lies_around_the_holes),
		cmocka_unit_test(direct_boot_starts_in_long_mode),
		cmocka_unit_test(direct_boot_finds_tables_and_chipset_ready),
		cmocka_unit_test(power_reset_panic_and_exit_are_reported),
		cmocka_unit_test(firmware_sees_rom_until_it_opens_pam),
		cmocka_unit_test(variables_live_in_flash_below_the_code),
		cmocka_unit_test(fw_cfg_describes_the_machine),
		cmocka_unit_test(impossible_machines_are_refused_with_a_reason),
		cmocka_unit_test(two_machines_live_side_by_side),
		cmocka_unit_test(senseless_accesses_are_survived),
	};

	return cmocka_run_group_tests_name("machine", tests, NULL, NULL);
}
