/* SPDX-License-Identifier: Apache-2.0 */
/* The helper's side of the socket: frames are gathered and handed to the kernel many at a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "nat/nat.h"

#define ARENA_BYTES (4u << 20)
#define MESSAGES_MAX 4096u
#define BATCH 32u
#define RECEIVE_BATCH 16u

struct nat_link {
	int fd;
	unsigned first, end; /* messages that wait */
	size_t used;         /* of the arena; starts over when nothing waits */
	struct {
		uint32_t offset, bytes;
	} messages[MESSAGES_MAX];
	uint8_t arena[ARENA_BYTES];
	uint8_t in[RECEIVE_BATCH][NET_MESSAGE_MAX] __attribute__((aligned(16)));
};

struct nat_link *nat_link_create(int fd)
{
	struct nat_link *l = calloc(1, sizeof(*l));

	if (l)
		l->fd = fd;
	return l;
}

bool nat_link_flush(struct nat_link *l)
{
	while (l->first < l->end) {
		struct mmsghdr batch[BATCH] = { 0 };
		struct iovec iov[BATCH];
		unsigned n = 0;
		int sent;

		for (; n < BATCH && l->first + n < l->end; n++) {
			iov[n] = (struct iovec){ l->arena + l->messages[l->first + n].offset, l->messages[l->first + n].bytes };
			batch[n].msg_hdr = (struct msghdr){ .msg_iov = &iov[n], .msg_iovlen = 1 };
		}
		sent = sendmmsg(l->fd, batch, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0)
			return false; /* full, or gone: poll() tells which */
		l->first += (unsigned)sent;
	}
	l->first = l->end = 0;
	l->used = 0;
	return true;
}

void nat_link_send(struct nat_link *l, const struct net_header *header, const void *frame, size_t bytes)
{
	struct net_message_header h = { .kind = NET_MESSAGE_FRAME, .header = *header };
	size_t total = sizeof(h) + bytes;

	if (bytes > NET_FRAME_MAX)
		return;
	if (l->end == MESSAGES_MAX || ARENA_BYTES - l->used < total)
		nat_link_flush(l);
	if (l->end == MESSAGES_MAX || ARENA_BYTES - l->used < total)
		return;
	memcpy(l->arena + l->used, &h, sizeof(h));
	memcpy(l->arena + l->used + sizeof(h), frame, bytes);
	l->messages[l->end].offset = (uint32_t)l->used;
	l->messages[l->end++].bytes = (uint32_t)total;
	l->used += total;
}

bool nat_link_receive(struct nat_link *l, void (*message)(void *ctx, struct net_message_header *h, uint8_t *frame, size_t bytes), void *ctx)
{
	struct mmsghdr batch[RECEIVE_BATCH] = { 0 };
	struct iovec iov[RECEIVE_BATCH];
	int n;

	for (unsigned i = 0; i < RECEIVE_BATCH; i++) {
		iov[i] = (struct iovec){ l->in[i], sizeof(l->in[i]) };
		batch[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	n = recvmmsg(l->fd, batch, RECEIVE_BATCH, MSG_DONTWAIT, NULL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	for (int i = 0; i < n; i++) {
		struct net_message_header h;

		if (!batch[i].msg_len)
			return false; /* the end */
		if (batch[i].msg_len < sizeof(h))
			continue;
		memcpy(&h, l->in[i], sizeof(h));
		message(ctx, &h, l->in[i] + sizeof(h), batch[i].msg_len - sizeof(h));
	}
	return n > 0;
}
