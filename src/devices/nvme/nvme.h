/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An NVMe controller (NVMe 1.4) with one namespace: a disk. PCI function with
 * registers, doorbells and MSI-X in BAR 0; PRPs only; 4 KiB memory pages.
 *
 * Threads: registers are reached on vcpu threads, which only note what was
 * written and post; queues and commands belong to the I/O thread alone. The
 * lock guards what was noted and is not held while anybody else is called.
 */
#ifndef LODGE_DEVICES_NVME_NVME_H
#define LODGE_DEVICES_NVME_NVME_H

#include "block/block.h"
#include "devices/pci/msix.h"
#include "devices/pci/pci.h"
#include "memory/guest_memory.h"

#define NVME_IO_QUEUES_MAX 16u
#define NVME_QUEUES_MAX (NVME_IO_QUEUES_MAX + 1) /* the admin queue is number 0 */
#define NVME_PAGE_BYTES 4096u
#define NVME_MDTS 8u /* 1 MiB, as a power of two of pages */
#define NVME_TRANSFER_MAX (NVME_PAGE_BYTES << NVME_MDTS)
#define NVME_PARTS_MAX ((1u << NVME_MDTS) + 1)
#define NVME_EVENTS_MAX 4u   /* asynchronous event requests held */
#define NVME_FEATURES 0x0cu  /* identifiers 01h to 0bh */
#define NVME_NAME_BYTES 96   /* NQN */
#define NVME_SERIAL_BYTES 20

struct nvme_config {
	const struct block_device *block; /* outlives the controller */
	const char *serial;               /* NULL: one of the controller's number */
	unsigned number;                  /* among the machine's controllers */
	unsigned queues;                  /* I/O queue pairs, up to NVME_IO_QUEUES_MAX */
	struct guest_memory *mem;
	struct post_service posts;
	struct pci_bus *bus;
	unsigned slot;
	struct msi_sink msi;
	struct log *log;
};

struct nvme_sq {
	const uint8_t *entries; /* NULL: not there */
	uint32_t size, head, tail;
	unsigned cq;
	unsigned in_flight;
	bool deleting;       /* as soon as nothing is in flight; then the delete command is done */
	uint16_t delete_cid;
};

struct nvme_cq {
	uint8_t *entries; /* NULL: not there */
	uint64_t base;
	uint32_t size, head, tail;
	uint32_t promised; /* entries that commands in flight will need */
	unsigned users;    /* submission queues */
	uint16_t vector;
	bool phase, interrupts;
};

/* Guest memory of one command, in order. */
struct nvme_map {
	unsigned n;
	struct block_iov iov[NVME_PARTS_MAX];
	uint64_t gpa[NVME_PARTS_MAX];
};

/* What vcpus wrote; guarded by nvme.lock. */
struct nvme_registers {
	uint32_t cc, csts, aqa, intm;
	uint64_t asq, acq;
	bool reset_asked;              /* CC.EN went to 0 */
	bool bad_doorbell;             /* one that belongs to no queue that could be */
	uint64_t rung;                 /* doorbells written: bit 2n: tail of submission queue n, 2n+1: head of completion queue n */
	uint32_t doorbell[2 * NVME_QUEUES_MAX];
};

struct nvme_counters {
	uint64_t bytes_read, bytes_written, reads, writes, errors, media_errors;
};

struct nvme_error_entry {
	uint64_t count;
	uint16_t sq, cid, status;
};

/* Stays put while the machine lives. */
struct nvme {
	struct nvme_config config;
	struct pci_function fn;
	struct msix msix;
	struct bus_region bar;
	char serial[NVME_SERIAL_BYTES + 1], nqn[NVME_NAME_BYTES];
	uint8_t uuid[16]; /* the namespace's */
	_Atomic uint32_t intx;

	struct host_mutex lock;
	struct nvme_registers regs; /* guarded by lock */
	uint32_t raised;            /* guarded by lock: vectors whose queues have entries, while the pin is used */

	/* the I/O thread's */
	struct event_post work;
	bool enabled, failed, resetting;
	bool pin;     /* the driver uses it, and not MSI-X */
	bool starved; /* commands wait for room in flight */
	unsigned in_flight, next_sq;
	struct nvme_sq sq[NVME_QUEUES_MAX];
	struct nvme_cq cq[NVME_QUEUES_MAX];
	uint32_t features[NVME_FEATURES];
	uint16_t events[NVME_EVENTS_MAX]; /* command identifiers */
	unsigned nevents;
	bool error_event, error_masked; /* one to be told; not again until the log was read */
	uint8_t error_info;
	struct nvme_counters counters;
	struct nvme_error_entry last_error;
	bool shutting_down;
	struct block_request shutdown;
	struct nvme_map map;
	uint8_t page[NVME_PAGE_BYTES];
};

enum lodge_err nvme_init(struct nvme *n, const struct nvme_config *config) LODGE_MUST_CHECK;
/* After pci_bus_reset(). Vcpus stopped, on the I/O thread or while it does not run. */
void nvme_power_on(struct nvme *n);
void nvme_fini(struct nvme *n);

#endif
