/* SPDX-License-Identifier: Apache-2.0 */
/* What the controller's files share: the wire format's numbers, and who does what. */
#ifndef LODGE_DEVICES_NVME_NVME_INTERNAL_H
#define LODGE_DEVICES_NVME_NVME_INTERNAL_H

#include "base/types.h"
#include "devices/nvme/nvme.h"

#define NVME_ENTRIES_MAX 256u /* of a queue */
#define NVME_SQE_BYTES 64u
#define NVME_CQE_BYTES 16u
#define NVME_NSID 1u
#define NVME_NSID_ALL 0xffffffffu

#define NVME_CC_EN 1u
#define NVME_CC_CSS(cc) ((cc) >> 4 & 7)
#define NVME_CC_MPS(cc) ((cc) >> 7 & 15)
#define NVME_CC_AMS(cc) ((cc) >> 11 & 7)
#define NVME_CC_SHN(cc) ((cc) >> 14 & 3)
#define NVME_CC_IOSQES(cc) ((cc) >> 16 & 15)
#define NVME_CC_IOCQES(cc) ((cc) >> 20 & 15)
#define NVME_CSTS_RDY 1u
#define NVME_CSTS_CFS 2u
#define NVME_CSTS_SHST 0x0cu
#define NVME_CSTS_SHST_BUSY 0x04u
#define NVME_CSTS_SHST_DONE 0x08u

/* Status: type << 8 | code (4.6.1), and "do not retry". */
enum {
	NVME_SUCCESS = 0,
	NVME_INVALID_OPCODE = 0x01,
	NVME_INVALID_FIELD = 0x02,
	NVME_DATA_TRANSFER_ERROR = 0x04,
	NVME_INTERNAL_ERROR = 0x06,
	NVME_ABORT_REQUESTED = 0x07,
	NVME_INVALID_NAMESPACE = 0x0b,
	NVME_SEQUENCE_ERROR = 0x0c,
	NVME_PRP_OFFSET_INVALID = 0x13,
	NVME_WRITE_PROTECTED = 0x20,
	NVME_LBA_RANGE = 0x80,
	NVME_CQ_INVALID = 0x100,
	NVME_QUEUE_ID_INVALID = 0x101,
	NVME_QUEUE_SIZE_INVALID = 0x102,
	NVME_EVENT_LIMIT = 0x105,
	NVME_VECTOR_INVALID = 0x108,
	NVME_LOG_PAGE_INVALID = 0x109,
	NVME_QUEUE_DELETION_INVALID = 0x10c,
	NVME_NOT_SAVEABLE = 0x10d,
	NVME_WRITE_FAULT = 0x280,
	NVME_READ_ERROR = 0x281,
	NVME_DNR = 0x4000,
	NVME_LATER = 0xffff, /* not on the wire: the command completes by itself */
};

#define NVME_EVENT_DOORBELL_REGISTER 0u
#define NVME_EVENT_DOORBELL_VALUE 1u

enum { NVME_FEAT_ARBITRATION = 1, NVME_FEAT_POWER, NVME_FEAT_LBA_RANGE, NVME_FEAT_TEMPERATURE, NVME_FEAT_ERROR_RECOVERY, NVME_FEAT_WRITE_CACHE,
       NVME_FEAT_QUEUES, NVME_FEAT_COALESCING, NVME_FEAT_VECTOR, NVME_FEAT_ATOMICITY, NVME_FEAT_EVENTS };

/* A command, copied from the guest once. */
struct nvme_command {
	unsigned sq;
	uint16_t cid;
	uint8_t opcode, flags;
	uint32_t nsid;
	uint64_t prp1, prp2;
	uint32_t dw[16]; /* 10 to 15 are the command's own */
	uint32_t result; /* for the completion */
};

/* nvme.c: the vectors' state, for the pin and MSI-X. */
void nvme_interrupt(struct nvme *n, unsigned cq);
void nvme_interrupt_update(struct nvme *n);
void nvme_set_status(struct nvme *n, uint32_t clear, uint32_t set);

/* nvme_queue.c */
void nvme_work(void *ctx); /* the post's: all that was noted */
void nvme_queues_drop(struct nvme *n);
/* A command that is not in flight any more; @status as above. */
void nvme_complete(struct nvme *n, unsigned sq, uint16_t cid, uint16_t status, uint32_t result);
void nvme_post_entry(struct nvme *n, unsigned sq, uint16_t cid, uint16_t status, uint32_t result);
/* For one more entry, beside those promised. */
bool nvme_cq_has_room(const struct nvme_cq *cq);
uint16_t nvme_map_queue(struct nvme *n, uint64_t base, uint64_t bytes, bool write, void **out);

/* nvme_admin.c, nvme_io.c: the status, or NVME_LATER. */
uint16_t nvme_admin_command(struct nvme *n, struct nvme_command *c);
void nvme_queue_deleted(struct nvme *n, unsigned sq);
uint16_t nvme_io_command(struct nvme *n, struct nvme_command *c);
void nvme_flush_for_shutdown(struct nvme *n);

/* nvme_identify.c, nvme_log.c: fill and send. */
uint16_t nvme_identify(struct nvme *n, struct nvme_command *c);
void nvme_names_init(struct nvme *n);
uint16_t nvme_get_log(struct nvme *n, struct nvme_command *c);

/* nvme_feature.c */
void nvme_features_reset(struct nvme *n);
uint16_t nvme_get_feature(struct nvme *n, struct nvme_command *c);
uint16_t nvme_set_feature(struct nvme *n, struct nvme_command *c);

/* nvme_prp.c: the command's data, @bytes long, into n->map; copies by it. */
uint16_t nvme_map_data(struct nvme *n, const struct nvme_command *c, uint64_t bytes, bool write);
uint16_t nvme_send(struct nvme *n, const struct nvme_command *c, const void *data, uint64_t bytes);
uint16_t nvme_receive(struct nvme *n, const struct nvme_command *c, void *data, uint64_t bytes);

#endif
