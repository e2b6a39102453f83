/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device sees of the machine: buses that call it, wires that it drives,
 * a clock with timers, and character streams. A device includes no other
 * device and no CPU engine.
 *
 * Threads: bus accesses come on vcpu threads, with the region's lock held by
 * the bus; timer and stream callbacks come on the I/O thread without it (the
 * device takes its lock). A register access never blocks on the host.
 */
#ifndef LODGE_DEVICES_DEVICE_H
#define LODGE_DEVICES_DEVICE_H

#include "base/error.h"
#include "base/log.h"
#include "base/types.h"
#include "host/host_ops.h"

/* ---- buses ---- */

struct bus_access {
	uint64_t offset; /* from the region's base; offset + size <= region length */
	uint64_t value;  /* in for writes, out for reads; bits above size are ignored / cleared by the bus */
	uint8_t size;    /* 1, 2, 4, 8 (port I/O: 1, 2, 4) */
	bool is_write;
};

enum bus_result { BUS_HANDLED, BUS_UNHANDLED }; /* unhandled reads give all-ones, writes are dropped; both are counted */

struct bus_ops {
	enum bus_result (*access)(void *dev, struct bus_access *access);
};

/* Owned by the device; must stay put while registered. */
struct bus_region {
	uint64_t base, len;
	const struct bus_ops *ops;
	void *dev;
	struct host_mutex *lock; /* taken around access(); NULL: the device does its own locking */
	struct bus_region *next; /* the bus's own */
	_Atomic uint32_t users;  /* the bus's own: accesses in progress */
};

/* A port or MMIO bus. Regions sorted by base, no overlap. */
struct bus {
	struct host_mutex lock; /* guards changes; lookups use seq */
	_Atomic uint32_t seq;
	unsigned nregions;
	struct bus_region *regions[128];
	_Atomic uint64_t unhandled; /* statistics */
};

void bus_init(struct bus *bus);
/* LODGE_ERR_RANGE on overlap, wrap or a full table. Any thread. */
enum lodge_err bus_add(struct bus *bus, struct bus_region *region) LODGE_MUST_CHECK;
/* All or nothing. */
enum lodge_err bus_add_all(struct bus *bus, struct bus_region *regions, unsigned n) LODGE_MUST_CHECK;
/*
 * On return no access to the region is in progress or will begin; its memory
 * must stay readable while the bus lives. Not from inside a bus access, nor
 * under a lock that one takes.
 */
void bus_remove(struct bus *bus, struct bus_region *region);
/* Put a registered or unregistered region at @base with length @len; on LODGE_ERR_RANGE it is on no bus. Anywhere. */
enum lodge_err bus_move(struct bus *bus, struct bus_region *region, uint64_t base, uint64_t len) LODGE_MUST_CHECK;
/* Take a region off without waiting for accesses in progress: for windows that the guest moves. Anywhere; unknown ones too. */
void bus_detach(struct bus *bus, struct bus_region *region);
/* Dispatch. An access that straddles a region's end is split into bytes. Reads of nobody return all-ones of @size. */
uint64_t bus_read(struct bus *bus, uint64_t addr, unsigned size);
void bus_write(struct bus *bus, uint64_t addr, unsigned size, uint64_t value);

/* ---- wires ---- */

/* A level-triggered or edge input of some interrupt controller. Copied by value; a zeroed one goes nowhere. */
struct irq_line {
	void (*set)(void *ctx, unsigned pin, bool level);
	void *ctx;
	unsigned pin;
};
static inline void irq_line_set(const struct irq_line *line, bool level)
{
	if (line->set)
		line->set(line->ctx, line->pin, level);
}

/* Where a message-signalled interrupt goes. Any thread. */
struct msi_sink {
	void (*send)(void *ctx, uint64_t addr, uint32_t data);
	void *ctx;
};
static inline void msi_send(const struct msi_sink *sink, uint64_t addr, uint32_t data)
{
	if (sink->send)
		sink->send(sink->ctx, addr, data);
}

/* ---- time ---- */

/*
 * One-shot timers on the VM's clock (nanoseconds, monotonic, stands still while
 * the VM is paused). Implemented by the I/O thread's event loop (and by a fake
 * in unit tests). arm replaces an earlier deadline; a past one fires at once.
 */
struct timer;
typedef void timer_fn(void *ctx); /* on the I/O thread */
struct timer_service {
	uint64_t (*now)(void *ctx);
	void (*arm)(void *ctx, struct timer *t, uint64_t deadline_ns);
	void (*disarm)(void *ctx, struct timer *t); /* the callback may still be running on the I/O thread */
	void *ctx;
};
struct timer {
	timer_fn *fn;
	void *fn_ctx;
	const struct timer_service *service;
	/* the service's own */
	uint64_t deadline_ns;
	uint32_t heap_index; /* 0: not armed */
};
static inline void timer_init(struct timer *t, const struct timer_service *s, timer_fn *fn, void *fn_ctx)
{
	*t = (struct timer){ .fn = fn, .fn_ctx = fn_ctx, .service = s };
}
static inline uint64_t timer_now(const struct timer *t) { return t->service->now(t->service->ctx); }
static inline void timer_arm(struct timer *t, uint64_t deadline_ns) { t->service->arm(t->service->ctx, t, deadline_ns); }
static inline void timer_disarm(struct timer *t) { t->service->disarm(t->service->ctx, t); }

/* ---- calls on the I/O thread ---- */

/* A call handed to the I/O thread. Owned by the caller; posting a queued one again changes nothing. */
struct event_post {
	void (*fn)(void *ctx);
	void *ctx;
	/* the loop's own */
	bool queued;
	struct event_post *next;
};
struct post_service {
	void (*post)(void *ctx, struct event_post *p);   /* any thread, any lock */
	void (*cancel)(void *ctx, struct event_post *p); /* on the I/O thread or while it does not run */
	void *ctx;
};
static inline void post_call(const struct post_service *s, struct event_post *p) { s->post(s->ctx, p); }
static inline void post_cancel(const struct post_service *s, struct event_post *p) { s->cancel(s->ctx, p); }

/* ---- character streams ---- */

/*
 * The host side of a serial port. The device calls write(); input arrives by
 * the callback that the device registered with the backend's owner.
 */
struct chardev {
	/* Queue bytes for output; returns how many were taken (0: full, drained() follows). Never blocks. */
	size_t (*write)(void *ctx, const uint8_t *buf, size_t len);
	/* room() may have grown: ask again. Any thread, may be NULL. Never blocks, and does not call the client from here. */
	void (*input_wanted)(void *ctx);
	void *ctx;
};
struct chardev_client {
	/* How many input bytes fit now; then input() with at most that many. I/O thread. */
	size_t (*room)(void *dev);
	void (*input)(void *dev, const uint8_t *buf, size_t len);
	void (*drained)(void *dev); /* output has room again */
	void *dev;
};

/* ---- events a machine reports to its owner ---- */

enum machine_event { MACHINE_POWER_OFF, MACHINE_RESET, MACHINE_PANIC, MACHINE_PANIC_CRASH_LOADED, MACHINE_DEBUG_EXIT };
struct machine_events {
	void (*raise)(void *ctx, enum machine_event event, uint32_t value); /* any thread; returns at once */
	void *ctx;
};

/* ---- saved state: a versioned, sized record per device ---- */

struct state_writer; /* vm/ implements both */
struct state_reader;

#endif
