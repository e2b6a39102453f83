/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that describes one VM before it exists. The command line fills it; vm_config_validate() is its only judge. */
#ifndef LODGE_VM_VM_CONFIG_H
#define LODGE_VM_VM_CONFIG_H

#include "base/error.h"
#include "cpu/x86/cpuid.h"
#include "net/net.h"

struct cpu_translation; /* cpu_backend.h */

enum vm_accel { VM_ACCEL_AUTO, VM_ACCEL_KVM, VM_ACCEL_SOFT };

#define VM_RAM_MIN MIB(4)
#define VM_NAME_MAX 63
#define VM_CMDLINE_MAX 4096
#define VM_DISKS_MAX 8
#define VM_DISK_SERIAL_MAX 20 /* what virtio and NVMe carry */

/* Not told: qcow2 by the name *.qcow2, else raw; a file that looks otherwise is refused, for a guest can write such looks. */
enum vm_disk_format { VM_DISK_UNTOLD, VM_DISK_RAW, VM_DISK_QCOW2 };

struct vm_disk {
	const char *path;
	const char *serial;  /* NULL: none */
	const char *backing; /* what a qcow2 image is the difference to; NULL: none */
	enum vm_disk_format format;
	bool read_only;
	bool nvme; /* how the guest reaches it; or virtio */
};

#define VM_FORWARDS_MAX 64
#define VM_ALLOW_MAX 64

/* A port of the host that leads to one of the guest. */
struct vm_forward {
	char address[16]; /* IPv4 */
	bool udp;
	uint16_t host_port, guest_port;
};

/* Addresses that the guest may reach: the first @prefix bits of an IPv6 address, or of an IPv4 one as ::ffff:a.b.c.d. */
struct vm_allow {
	char address[46];
	unsigned prefix;
	uint16_t port; /* 0: any */
};

enum vm_net_kind { VM_NET_NONE, VM_NET_USER, VM_NET_TAP, VM_NET_BRIDGE };

struct vm_net {
	enum vm_net_kind kind;
	const char *interface;     /* tap and bridge: its name */
	const char *pcap;          /* path: a record of all frames; NULL: none */
	uint64_t bytes_per_second; /* each way; 0: no limit */
	uint8_t mac[NET_MAC_BYTES];
	struct vm_forward forwards[VM_FORWARDS_MAX];
	unsigned nforwards;
	struct vm_allow allow[VM_ALLOW_MAX];
	unsigned nallow; /* 0: everything */
};

/* Strings belong to the caller and outlive the VM. */
struct vm_config {
	const char *name;          /* letters, digits, '-', '_', '.'; NULL: none */
	const char *kernel;        /* path; required unless firmware is given, or the disk has one */
	bool kernel_from_disk;     /* without @kernel: the first disk's own, with its initrd */
	const char *initrd;        /* path or NULL */
	const char *append;        /* kernel command line or NULL */
	const char *firmware;      /* path or NULL */
	const char *firmware_vars; /* path or NULL */
	struct vm_disk disks[VM_DISKS_MAX];
	unsigned ndisks;
	struct vm_net net;
	uint64_t ram_bytes;
	unsigned vcpus;
	enum vm_accel accel;
	unsigned hop_ms; /* move to another engine and back every so often: a test (`lodge debug hop`); 0: stay */
	enum vm_accel hop_to; /* with hop_ms: from soft to here */
	enum cpu_level level;
	enum cpu_vendor vendor;
	bool hpet;
	bool rng;
	bool no_balloon;
	bool no_reboot;
	bool stats;
	bool debug_exit;
	uint16_t debug_exit_port;
	const char *soft_opts;
	uint64_t code_cache_bytes; /* 0: default */
	/* cpu_vm_config's: told of every block that soft translates; NULL: nobody asks. */
	void (*translated)(void *ctx, const struct cpu_translation *t);
	void *translated_ctx;
};

void vm_config_defaults(struct vm_config *config);
enum lodge_err vm_config_validate(const struct vm_config *config, struct lodge_error *err) LODGE_MUST_CHECK;

/* "512M", "2G", "65536K" or plain MiB; LODGE_ERR_ARG with a reason otherwise. */
enum lodge_err vm_parse_size(const char *text, uint64_t *bytes, struct lodge_error *err) LODGE_MUST_CHECK;

#endif
