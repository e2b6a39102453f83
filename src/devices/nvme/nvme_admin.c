/* SPDX-License-Identifier: Apache-2.0 */
/* Admin commands (NVMe 1.4, chapter 5): queues, aborts and events; the rest is in files of its own. */
#include "base/mem.h"
#include "devices/nvme/nvme_internal.h"

enum { OP_DELETE_SQ = 0x00, OP_CREATE_SQ = 0x01, OP_GET_LOG = 0x02, OP_DELETE_CQ = 0x04, OP_CREATE_CQ = 0x05, OP_IDENTIFY = 0x06, OP_ABORT = 0x08,
       OP_SET_FEATURES = 0x09, OP_GET_FEATURES = 0x0a, OP_EVENT = 0x0c };

#define CONTIGUOUS 1u
#define CQ_INTERRUPTS 2u
#define ABORT_NOT_DONE 1u
#define IOSQES 6u /* 64 and 16 bytes, as powers of two */
#define IOCQES 4u

/* ---- queues ---- */

static bool is_io_queue(const struct nvme *n, unsigned id) { return id && id <= n->config.queues; }

static uint16_t check_new_queue(const struct nvme_command *c, uint32_t cc)
{
	unsigned entries = (c->dw[10] >> 16) + 1;

	if (entries < 2 || entries > NVME_ENTRIES_MAX)
		return NVME_QUEUE_SIZE_INVALID | NVME_DNR;
	if (!(c->dw[11] & CONTIGUOUS) || NVME_CC_IOSQES(cc) != IOSQES || NVME_CC_IOCQES(cc) != IOCQES)
		return NVME_INVALID_FIELD | NVME_DNR;
	return NVME_SUCCESS;
}

/* What was rung before a queue was there is not meant for it. */
static uint32_t forget_doorbell(struct nvme *n, unsigned doorbell)
{
	uint32_t cc;

	host_mutex_lock(&n->lock);
	n->regs.rung &= ~(UINT64_C(1) << doorbell);
	cc = n->regs.cc;
	host_mutex_unlock(&n->lock);
	return cc;
}

static uint16_t create_cq(struct nvme *n, const struct nvme_command *c)
{
	unsigned id = c->dw[10] & 0xffff, entries = (c->dw[10] >> 16) + 1, vector = c->dw[11] >> 16;
	uint16_t status;
	void *at;

	if (!is_io_queue(n, id) || n->cq[id].entries)
		return NVME_QUEUE_ID_INVALID | NVME_DNR;
	status = check_new_queue(c, forget_doorbell(n, 2 * id + 1));
	if (status == NVME_SUCCESS && vector > n->config.queues)
		status = NVME_VECTOR_INVALID | NVME_DNR;
	if (status == NVME_SUCCESS)
		status = nvme_map_queue(n, c->prp1, entries * NVME_CQE_BYTES, true, &at);
	if (status != NVME_SUCCESS)
		return status;
	n->cq[id] = (struct nvme_cq){ .entries = at, .base = c->prp1, .size = entries, .vector = (uint16_t)vector, .phase = true,
				      .interrupts = c->dw[11] & CQ_INTERRUPTS };
	return NVME_SUCCESS;
}

static uint16_t create_sq(struct nvme *n, const struct nvme_command *c)
{
	unsigned id = c->dw[10] & 0xffff, entries = (c->dw[10] >> 16) + 1, cq = c->dw[11] >> 16;
	uint16_t status;
	void *at;

	if (!is_io_queue(n, id) || n->sq[id].entries)
		return NVME_QUEUE_ID_INVALID | NVME_DNR;
	status = check_new_queue(c, forget_doorbell(n, 2 * id));
	if (status == NVME_SUCCESS && !is_io_queue(n, cq))
		status = NVME_QUEUE_ID_INVALID | NVME_DNR;
	if (status == NVME_SUCCESS && !n->cq[cq].entries)
		status = NVME_CQ_INVALID | NVME_DNR;
	if (status == NVME_SUCCESS)
		status = nvme_map_queue(n, c->prp1, entries * NVME_SQE_BYTES, false, &at);
	if (status != NVME_SUCCESS)
		return status;
	n->sq[id] = (struct nvme_sq){ .entries = at, .size = entries, .cq = cq };
	n->cq[cq].users++;
	return NVME_SUCCESS;
}

static void remove_sq(struct nvme *n, unsigned id)
{
	n->cq[n->sq[id].cq].users--;
	n->sq[id] = (struct nvme_sq){ .entries = NULL };
}

void nvme_queue_deleted(struct nvme *n, unsigned sq)
{
	uint16_t cid = n->sq[sq].delete_cid;

	remove_sq(n, sq);
	n->in_flight++;
	nvme_complete(n, 0, cid, NVME_SUCCESS, 0);
}

static uint16_t delete_sq(struct nvme *n, const struct nvme_command *c)
{
	unsigned id = c->dw[10] & 0xffff;

	if (!is_io_queue(n, id) || !n->sq[id].entries || n->sq[id].deleting)
		return NVME_QUEUE_ID_INVALID | NVME_DNR;
	if (n->sq[id].in_flight) {
		n->sq[id].deleting = true;
		n->sq[id].delete_cid = c->cid;
		n->in_flight--; /* it waits for others, and a reset need not wait for it */
		return NVME_LATER;
	}
	remove_sq(n, id);
	return NVME_SUCCESS;
}

static uint16_t delete_cq(struct nvme *n, const struct nvme_command *c)
{
	unsigned id = c->dw[10] & 0xffff;

	if (!is_io_queue(n, id) || !n->cq[id].entries)
		return NVME_QUEUE_ID_INVALID | NVME_DNR;
	if (n->cq[id].users)
		return NVME_QUEUE_DELETION_INVALID | NVME_DNR;
	n->cq[id] = (struct nvme_cq){ .entries = NULL };
	nvme_interrupt_update(n);
	return NVME_SUCCESS;
}

/* ---- events ---- */

/* Held requests are not in flight: they may wait forever, and take no entry of the completion queue until then. */
static uint16_t hold_event_request(struct nvme *n, const struct nvme_command *c)
{
	if (n->nevents == NVME_EVENTS_MAX)
		return NVME_EVENT_LIMIT | NVME_DNR;
	n->events[n->nevents++] = c->cid;
	n->in_flight--;
	n->sq[0].in_flight--;
	n->cq[0].promised--;
	return NVME_LATER;
}

/* Commands that the disk has run to their end, which is allowed; a held event request can go. */
static uint16_t abort_command(struct nvme *n, struct nvme_command *c)
{
	unsigned sq = c->dw[10] & 0xffff, cid = c->dw[10] >> 16;

	if (sq >= NVME_QUEUES_MAX || !n->sq[sq].entries)
		return NVME_INVALID_FIELD | NVME_DNR;
	c->result = ABORT_NOT_DONE;
	for (unsigned i = 0; !sq && i < n->nevents; i++) {
		if (n->events[i] != cid || !nvme_cq_has_room(&n->cq[0]))
			continue;
		memmove(n->events + i, n->events + i + 1, (--n->nevents - i) * sizeof(n->events[0]));
		nvme_post_entry(n, 0, (uint16_t)cid, NVME_ABORT_REQUESTED, 0);
		c->result = 0;
		break;
	}
	return NVME_SUCCESS;
}

uint16_t nvme_admin_command(struct nvme *n, struct nvme_command *c)
{
	switch (c->opcode) {
	case OP_DELETE_SQ: return delete_sq(n, c);
	case OP_CREATE_SQ: return create_sq(n, c);
	case OP_GET_LOG: return nvme_get_log(n, c);
	case OP_DELETE_CQ: return delete_cq(n, c);
	case OP_CREATE_CQ: return create_cq(n, c);
	case OP_IDENTIFY: return nvme_identify(n, c);
	case OP_ABORT: return abort_command(n, c);
	case OP_SET_FEATURES: return nvme_set_feature(n, c);
	case OP_GET_FEATURES: return nvme_get_feature(n, c);
	case OP_EVENT: return hold_event_request(n, c);
	default: return NVME_INVALID_OPCODE | NVME_DNR;
	}
}
