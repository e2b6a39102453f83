/* SPDX-License-Identifier: Apache-2.0 */
/* Get and set features (NVMe 1.4, 5.21): values that are kept, and those that do something. */
#include "base/mem.h"
#include "devices/nvme/nvme_internal.h"

#define SAVE (1u << 31)
#define SELECT(dw10) ((dw10) >> 8 & 7)
#define COALESCING_OFF (1u << 16) /* of a vector */
#define TEMPERATURE_DEFAULT 343u

/* Bits that a driver may change; 0: the feature is not there, or has no value that could be set. */
static const uint32_t writable[NVME_FEATURES] = {
	[NVME_FEAT_ARBITRATION] = 0xffffff07,
	[NVME_FEAT_POWER] = 0xe0, /* power state 0 alone */
	[NVME_FEAT_TEMPERATURE] = 0x3fffff,
	[NVME_FEAT_ERROR_RECOVERY] = 0xffff,
	[NVME_FEAT_WRITE_CACHE] = 1,
	[NVME_FEAT_COALESCING] = 0xffff,
	[NVME_FEAT_ATOMICITY] = 1,
	[NVME_FEAT_EVENTS] = 0xff,
};

void nvme_features_reset(struct nvme *n)
{
	memset(n->features, 0, sizeof(n->features));
	n->features[NVME_FEAT_ARBITRATION] = 7; /* no limit of a burst */
	n->features[NVME_FEAT_TEMPERATURE] = TEMPERATURE_DEFAULT;
	n->features[NVME_FEAT_WRITE_CACHE] = 1;
}

static uint32_t queue_numbers(const struct nvme *n)
{
	return (n->config.queues - 1) | (n->config.queues - 1) << 16;
}

static bool is_feature(unsigned id)
{
	return id && id < NVME_FEATURES && id != NVME_FEAT_LBA_RANGE;
}

/* Error recovery is a namespace's; the others are the controller's. */
static uint16_t check_nsid(unsigned id, uint32_t nsid)
{
	if (id != NVME_FEAT_ERROR_RECOVERY)
		return NVME_SUCCESS;
	return nsid == NVME_NSID || nsid == NVME_NSID_ALL ? NVME_SUCCESS : NVME_INVALID_NAMESPACE | NVME_DNR;
}

uint16_t nvme_get_feature(struct nvme *n, struct nvme_command *c)
{
	unsigned id = c->dw[10] & 0xff;

	if (!is_feature(id) || SELECT(c->dw[10]))
		return NVME_INVALID_FIELD | NVME_DNR;
	if (check_nsid(id, c->nsid) != NVME_SUCCESS)
		return NVME_INVALID_NAMESPACE | NVME_DNR;
	if (id == NVME_FEAT_VECTOR) {
		if ((c->dw[11] & 0xffff) > n->config.queues)
			return NVME_INVALID_FIELD | NVME_DNR;
		c->result = (c->dw[11] & 0xffff) | COALESCING_OFF; /* nothing is held back, ever */
	} else {
		c->result = id == NVME_FEAT_QUEUES ? queue_numbers(n) : n->features[id];
	}
	return NVME_SUCCESS;
}

static uint16_t set_queues(struct nvme *n, struct nvme_command *c)
{
	if ((c->dw[11] & 0xffff) == 0xffff || c->dw[11] >> 16 == 0xffff)
		return NVME_INVALID_FIELD | NVME_DNR;
	for (unsigned i = 1; i < NVME_QUEUES_MAX; i++)
		if (n->sq[i].entries || n->cq[i].entries)
			return NVME_SEQUENCE_ERROR | NVME_DNR;
	c->result = queue_numbers(n);
	return NVME_SUCCESS;
}

uint16_t nvme_set_feature(struct nvme *n, struct nvme_command *c)
{
	unsigned id = c->dw[10] & 0xff;

	if (!is_feature(id))
		return NVME_INVALID_FIELD | NVME_DNR;
	if (c->dw[10] & SAVE)
		return NVME_NOT_SAVEABLE | NVME_DNR;
	if (check_nsid(id, c->nsid) != NVME_SUCCESS)
		return NVME_INVALID_NAMESPACE | NVME_DNR;
	if (id == NVME_FEAT_QUEUES)
		return set_queues(n, c);
	if (id == NVME_FEAT_VECTOR)
		return (c->dw[11] & 0xffff) > n->config.queues ? NVME_INVALID_FIELD | NVME_DNR : NVME_SUCCESS;
	if (id == NVME_FEAT_POWER && c->dw[11] & 0x1f)
		return NVME_INVALID_FIELD | NVME_DNR;
	n->features[id] = c->dw[11] & writable[id];
	return NVME_SUCCESS;
}
