/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues, on the I/O thread: what vcpus noted is taken up, commands are fetched
 * and completed, the controller is enabled and reset. A command is fetched only
 * when its completion queue will have an entry for it, so none is ever lost.
 */
#include "base/mem.h"
#include "devices/nvme/nvme_internal.h"

#define COMMANDS_PER_TURN 32u /* of each queue; then others on the I/O thread have theirs */
#define IN_FLIGHT_MAX 256u    /* what the guest can make the host remember */

/* ---- completion ---- */

bool nvme_cq_has_room(const struct nvme_cq *cq)
{
	return (cq->tail + cq->size - cq->head) % cq->size + cq->promised < cq->size - 1;
}

void nvme_post_entry(struct nvme *n, unsigned sq, uint16_t cid, uint16_t status, uint32_t result)
{
	unsigned q = n->sq[sq].cq;
	struct nvme_cq *cq = &n->cq[q];
	uint8_t *entry = cq->entries + cq->tail * NVME_CQE_BYTES;
	uint64_t at = cq->base + cq->tail * NVME_CQE_BYTES;

	put_le32(entry, result);
	put_le32(entry + 4, 0);
	put_le16(entry + 8, (uint16_t)n->sq[sq].head);
	put_le16(entry + 10, (uint16_t)sq);
	/* The phase tag comes last: it is what the driver looks at. */
	atomic_store_explicit((_Atomic uint32_t *)(void *)(entry + 12), (uint32_t)cid | (uint32_t)status << 17 | (uint32_t)cq->phase << 16,
			      memory_order_release);
	guest_span_written(n->config.mem, gpa(at), NVME_CQE_BYTES);
	if (++cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase = !cq->phase;
	}
	nvme_interrupt(n, q);
}

static void note_error(struct nvme *n, unsigned sq, uint16_t cid, uint16_t status)
{
	n->counters.errors++;
	n->last_error = (struct nvme_error_entry){ .count = n->counters.errors, .sq = (uint16_t)sq, .cid = cid, .status = status };
}

void nvme_complete(struct nvme *n, unsigned sq, uint16_t cid, uint16_t status, uint32_t result)
{
	struct nvme_sq *q = &n->sq[sq];

	n->in_flight--;
	if (!n->enabled) {
		if (!n->in_flight)
			post_call(&n->config.posts, &n->work); /* what a reset waited for */
		return;
	}
	q->in_flight--;
	n->cq[q->cq].promised--;
	if (status != NVME_SUCCESS)
		note_error(n, sq, cid, status);
	nvme_post_entry(n, sq, cid, status, result);
	if (q->deleting && !q->in_flight)
		nvme_queue_deleted(n, sq);
	if (n->starved) {
		n->starved = false;
		post_call(&n->config.posts, &n->work);
	}
}

/* ---- events ---- */

static void events_deliver(struct nvme *n)
{
	uint32_t result = (uint32_t)n->error_info << 8 | 1u << 16; /* type 0, error; see log page 01h */

	if (!n->error_event || n->error_masked || !n->nevents || !nvme_cq_has_room(&n->cq[0]))
		return;
	n->error_event = false;
	n->error_masked = true;
	nvme_post_entry(n, 0, n->events[0], NVME_SUCCESS, result);
	memmove(n->events, n->events + 1, --n->nevents * sizeof(n->events[0]));
}

static void error_event(struct nvme *n, uint8_t info)
{
	n->error_event = true;
	n->error_info = info;
	events_deliver(n);
}

/* ---- fetching ---- */

static void fetch(struct nvme *n, unsigned sq, struct nvme_command *c)
{
	struct nvme_sq *q = &n->sq[sq];
	uint8_t wire[NVME_SQE_BYTES];

	memcpy(wire, q->entries + q->head * NVME_SQE_BYTES, sizeof(wire));
	if (++q->head == q->size)
		q->head = 0;
	*c = (struct nvme_command){ .sq = sq, .opcode = wire[0], .flags = wire[1], .cid = get_le16(wire + 2), .nsid = get_le32(wire + 4),
				    .prp1 = get_le64(wire + 24), .prp2 = get_le64(wire + 32) };
	for (unsigned i = 10; i < ARRAY_LEN(c->dw); i++)
		c->dw[i] = get_le32(wire + 4 * i);
}

static void execute(struct nvme *n, struct nvme_command *c)
{
	uint16_t status;

	if (c->flags) /* fused commands, scatter-gather lists */
		status = NVME_INVALID_FIELD | NVME_DNR;
	else
		status = c->sq ? nvme_io_command(n, c) : nvme_admin_command(n, c);
	if (status != NVME_LATER)
		nvme_complete(n, c->sq, c->cid, status, c->result);
	if (!c->sq)
		events_deliver(n); /* there is a request to answer, or the log was read */
}

/* True: there is more to do, and it can be done. */
static bool run_queue(struct nvme *n, unsigned sq)
{
	struct nvme_sq *q = &n->sq[sq];
	struct nvme_command c;

	for (unsigned i = 0; i < COMMANDS_PER_TURN; i++) {
		if (!q->entries || q->deleting || q->head == q->tail || !nvme_cq_has_room(&n->cq[q->cq]))
			return false;
		if (n->in_flight >= IN_FLIGHT_MAX) {
			n->starved = true;
			return false;
		}
		fetch(n, sq, &c);
		n->in_flight++;
		q->in_flight++;
		n->cq[q->cq].promised++;
		execute(n, &c);
	}
	return true;
}

static void run_queues(struct nvme *n)
{
	bool more = false;

	/* A queue further each time, so that none has the room in flight for itself. */
	for (unsigned i = 0; i < NVME_QUEUES_MAX; i++)
		more |= run_queue(n, (n->next_sq + i) % NVME_QUEUES_MAX);
	n->next_sq = (n->next_sq + 1) % NVME_QUEUES_MAX;
	if (more)
		post_call(&n->config.posts, &n->work);
}

/* ---- doorbells ---- */

static void ring(struct nvme *n, unsigned doorbell, uint32_t value)
{
	struct nvme_sq *sq = &n->sq[doorbell / 2];
	struct nvme_cq *cq = &n->cq[doorbell / 2];
	bool tail = doorbell % 2 == 0;

	if (tail ? !sq->entries : !cq->entries) {
		error_event(n, NVME_EVENT_DOORBELL_REGISTER);
	} else if (value >= (tail ? sq->size : cq->size)) {
		error_event(n, NVME_EVENT_DOORBELL_VALUE);
	} else if (tail) {
		sq->tail = value;
	} else if ((value + cq->size - cq->head) % cq->size > (cq->tail + cq->size - cq->head) % cq->size) {
		error_event(n, NVME_EVENT_DOORBELL_VALUE); /* entries that nobody wrote yet */
	} else {
		cq->head = value;
	}
}

static void ring_all(struct nvme *n, const struct nvme_registers *noted)
{
	if (noted->bad_doorbell)
		error_event(n, NVME_EVENT_DOORBELL_REGISTER);
	for (unsigned i = 0; i < ARRAY_LEN(noted->doorbell); i++)
		if (noted->rung >> i & 1)
			ring(n, i, noted->doorbell[i]);
	nvme_interrupt_update(n);
	events_deliver(n);
}

/* ---- enabling and reset ---- */

uint16_t nvme_map_queue(struct nvme *n, uint64_t base, uint64_t bytes, bool write, void **out)
{
	if (base % NVME_PAGE_BYTES)
		return NVME_PRP_OFFSET_INVALID | NVME_DNR;
	return guest_span(n->config.mem, gpa(base), bytes, write, out) == LODGE_OK ? NVME_SUCCESS : NVME_DATA_TRANSFER_ERROR | NVME_DNR;
}

/* NULL, or what is wrong. */
static const char *enable(struct nvme *n, const struct nvme_registers *r)
{
	uint32_t sq_size = (r->aqa & 0xfff) + 1, cq_size = (r->aqa >> 16 & 0xfff) + 1;
	void *sq, *cq;

	if (NVME_CC_CSS(r->cc) || NVME_CC_MPS(r->cc) || NVME_CC_AMS(r->cc))
		return "a command set, page size or arbitration that is not offered";
	if (sq_size < 2 || cq_size < 2)
		return "an admin queue of one entry";
	if (nvme_map_queue(n, r->asq, sq_size * NVME_SQE_BYTES, false, &sq) || nvme_map_queue(n, r->acq, cq_size * NVME_CQE_BYTES, true, &cq))
		return "an admin queue outside memory or not aligned";
	n->sq[0] = (struct nvme_sq){ .entries = sq, .size = sq_size };
	n->cq[0] = (struct nvme_cq){ .entries = cq, .base = r->acq, .size = cq_size, .users = 1, .phase = true, .interrupts = true };
	n->enabled = true;
	return NULL;
}

static void try_enable(struct nvme *n, struct nvme_registers *noted)
{
	const char *why = enable(n, noted);

	/* What was rung before is not meant for these queues. */
	noted->rung = 0;
	noted->bad_doorbell = false;
	n->failed = why != NULL;
	if (why)
		log_guest(n->config.log, "nvme: the guest's driver cannot start the controller: %s; it stays off until the guest resets it", why);
	nvme_set_status(n, NVME_CSTS_SHST, why ? NVME_CSTS_CFS : NVME_CSTS_RDY); /* it may have been shut down while it was off */
	noted->csts = 0;
}

void nvme_queues_drop(struct nvme *n)
{
	n->enabled = n->failed = n->starved = false;
	memset(n->sq, 0, sizeof(n->sq));
	memset(n->cq, 0, sizeof(n->cq));
	n->nevents = 0;
	n->error_event = n->error_masked = false;
	nvme_features_reset(n);
}

void nvme_work(void *ctx)
{
	struct nvme *n = ctx;
	struct nvme_registers noted;

	host_mutex_lock(&n->lock);
	noted = n->regs;
	n->regs.rung = 0;
	n->regs.reset_asked = n->regs.bad_doorbell = false;
	host_mutex_unlock(&n->lock);
	if (noted.reset_asked) {
		nvme_queues_drop(n);
		n->resetting = true;
	}
	if (n->resetting) {
		/* The disk may still be filling guest memory: ready stays until that has ended. */
		if (n->in_flight)
			return;
		n->resetting = false;
		nvme_interrupt_update(n);
		nvme_set_status(n, NVME_CSTS_RDY | NVME_CSTS_CFS | NVME_CSTS_SHST, 0);
		noted.csts = 0;
	}
	if (noted.cc & NVME_CC_EN && !n->enabled && !n->failed)
		try_enable(n, &noted);
	if (NVME_CC_SHN(noted.cc) && !(noted.csts & NVME_CSTS_SHST) && !n->shutting_down)
		nvme_flush_for_shutdown(n);
	if (!n->enabled)
		return;
	ring_all(n, &noted);
	if (pci_function_is_master(&n->fn))
		run_queues(n);
}
