/* SPDX-License-Identifier: Apache-2.0 */
/* What a VM may look like. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "machine/machine.h"
#include "vm/vm_config.h"

void vm_config_defaults(struct vm_config *config)
{
	*config = (struct vm_config){ .ram_bytes = MIB(1024), .vcpus = 1, .debug_exit_port = 0xf4 };
}

static bool name_is_good(const char *name)
{
	size_t n = strlen(name);

	return n > 0 && n <= VM_NAME_MAX && name[0] != '-' && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == n;
}

static enum lodge_err disks_validate(const struct vm_config *config, struct lodge_error *err)
{
	for (unsigned i = 0; i < config->ndisks; i++) {
		const struct vm_disk *d = &config->disks[i];

		if (d->serial && strlen(d->serial) > VM_DISK_SERIAL_MAX)
			return error_set(err, LODGE_ERR_ARG, "the serial number '%s' is longer than the %d bytes that a disk has for it", d->serial,
					 VM_DISK_SERIAL_MAX);
	}
	return LODGE_OK;
}

enum lodge_err vm_config_validate(const struct vm_config *config, struct lodge_error *err)
{
	if (config->name && !name_is_good(config->name))
		return error_set(err, LODGE_ERR_ARG, "'%s' is no VM name: use up to %d letters, digits, '-', '_' and '.'", config->name, VM_NAME_MAX);
	if (config->kernel_from_disk && (config->kernel || config->firmware || !config->ndisks))
		return error_set(err, LODGE_ERR_ARG, "the kernel cannot come from the disk: there is no disk, or --kernel or --firmware was given, too");
	if (!config->kernel && !config->firmware && !config->kernel_from_disk)
		return error_set(err, LODGE_ERR_ARG, "nothing to boot: give --kernel FILE or --firmware FILE, or run `make guest` for Debian's kernel");
	if (config->initrd && !config->kernel)
		return error_set(err, LODGE_ERR_ARG, "--initrd needs a --kernel to go with");
	if (config->ram_bytes < VM_RAM_MIN || config->ram_bytes > MEMORY_RAM_MAX)
		return error_set(err, LODGE_ERR_ARG, "-m %llu MiB is out of range: a machine has from %llu MiB to %llu GiB",
				 (unsigned long long)(config->ram_bytes >> 20), (unsigned long long)(VM_RAM_MIN >> 20),
				 (unsigned long long)(MEMORY_RAM_MAX >> 30));
	if (config->ram_bytes % MIB(1))
		return error_set(err, LODGE_ERR_ARG, "-m must be a whole number of MiB");
	if (config->vcpus < 1 || config->vcpus > MACHINE_VCPUS_MAX)
		return error_set(err, LODGE_ERR_ARG, "-c %u is out of range: a machine has from 1 to %d vcpus", config->vcpus, MACHINE_VCPUS_MAX);
	if (config->append && strlen(config->append) >= VM_CMDLINE_MAX)
		return error_set(err, LODGE_ERR_ARG, "the kernel command line is longer than %d bytes", VM_CMDLINE_MAX - 1);
	if (config->debug_exit && config->debug_exit_port > 0xfffc)
		return error_set(err, LODGE_ERR_ARG, "--debug-exit=0x%x: the port is 4 bytes wide and must end below 0x10000", config->debug_exit_port);
	if (config->net.kind != VM_NET_USER && (config->net.nforwards || config->net.nallow))
		return error_set(err, LODGE_ERR_ARG, "%s needs the network that Lodge makes itself: add --net user", config->net.nforwards ? "-p" : "--allow");
	if (config->net.kind == VM_NET_NONE && (config->net.pcap || config->net.bytes_per_second))
		return error_set(err, LODGE_ERR_ARG, "%s needs a network: add --net user", config->net.pcap ? "--net-pcap" : "--net-limit");
	return disks_validate(config, err);
}

enum lodge_err vm_parse_size(const char *text, uint64_t *bytes, struct lodge_error *err)
{
	char *end;
	unsigned long long n;
	uint64_t unit = MIB(1);

	if (text[0] < '0' || text[0] > '9')
		return error_set(err, LODGE_ERR_ARG, "'%s' is no size: write for example 512M or 2G", text);
	n = strtoull(text, &end, 10);
	switch (*end) {
	case '\0': break;
	case 'k': case 'K': unit = KIB(1); end++; break;
	case 'm': case 'M': end++; break;
	case 'g': case 'G': unit = GIB(1); end++; break;
	case 't': case 'T': unit = GIB(1024); end++; break;
	default: break;
	}
	if (end[0] == 'i' && end[1] == 'B')
		end += 2;
	if (*end || mul_overflows_u64(n, unit, bytes))
		return error_set(err, LODGE_ERR_ARG, "'%s' is no size: write for example 512M or 2G", text);
	return LODGE_OK;
}
