/* SPDX-License-Identifier: Apache-2.0 */
/* Offloads; see offload.h. */
#include "net/offload.h"

#include "base/mem.h"

#define TYPE_IPV4 0x0800u
#define TYPE_IPV6 0x86ddu
#define PROTOCOL_TCP 6u
#define IPV6_BYTES 40u
#define TCP_BYTES 20u
#define TCP_CHECKSUM 16u
#define TCP_SYN 0x02u
#define OPTION_END 0u
#define OPTION_NOP 1u
#define OPTION_MSS 2u

/* ---- ones' complement sums ---- */

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* In the host's byte order, which does not matter to such sums (RFC 1071). */
static uint64_t sum_bytes(const uint8_t *p, size_t n)
{
	uint64_t sum = 0;

	for (; n >= 4; p += 4, n -= 4)
		sum += get_le32(p);
	if (n >= 2)
		sum += get_le16(p);
	if (n & 1)
		sum += p[n & 2];
	return sum;
}

bool net_finish_checksum(const struct net_header *header, uint8_t *frame, size_t bytes)
{
	size_t start = le16_get(header->csum_start), at = start + le16_get(header->csum_offset);
	uint16_t sum;

	if (!(header->flags & NET_NEEDS_CSUM))
		return true;
	if (at + 2 > bytes)
		return false;
	/* The field holds the sum of the pseudo header. */
	sum = (uint16_t)~fold(sum_bytes(frame + start, bytes - start));
	put_le16(frame + at, sum ? sum : 0xffff); /* 0 would mean none in UDP, and is the same in TCP */
	return true;
}

/* ---- TCP in frames ---- */

struct tcp {
	bool ipv6;
	unsigned ip, at;  /* offsets of both headers */
	unsigned header;  /* TCP's length with options */
	unsigned segment; /* TCP's length with data */
};

/* Is it a whole TCP segment, neither a fragment nor behind extension headers? */
static bool find_tcp(const uint8_t *frame, size_t bytes, struct tcp *t)
{
	const uint8_t *ip = frame + NET_ETHERNET_BYTES;
	unsigned type, length, ip_bytes;

	if (bytes < NET_ETHERNET_BYTES + IPV6_BYTES || bytes > NET_FRAME_MAX)
		return false;
	type = get_be16(frame + 12);
	*t = (struct tcp){ .ip = NET_ETHERNET_BYTES, .ipv6 = type == TYPE_IPV6 };
	if (type == TYPE_IPV4) {
		ip_bytes = (ip[0] & 15u) * 4;
		length = get_be16(ip + 2);
		if (ip[0] >> 4 != 4 || ip_bytes < 20 || length < ip_bytes || ip[9] != PROTOCOL_TCP || get_be16(ip + 6) & 0x3fff)
			return false;
	} else {
		ip_bytes = IPV6_BYTES;
		length = get_be16(ip + 4) + IPV6_BYTES;
		if (type != TYPE_IPV6 || ip[0] >> 4 != 6 || ip[6] != PROTOCOL_TCP)
			return false;
	}
	t->at = NET_ETHERNET_BYTES + ip_bytes;
	if (NET_ETHERNET_BYTES + length > bytes || length < ip_bytes + TCP_BYTES)
		return false;
	t->segment = length - ip_bytes;
	t->header = (frame[t->at + 12] >> 4) * 4u;
	return t->header >= TCP_BYTES && t->header <= t->segment;
}

/* A 16-bit field of a segment changes from what the frame has to @value, wherever it lies. */
static void replace16(uint8_t *frame, const struct tcp *t, unsigned at, uint16_t value)
{
	uint8_t *sum = frame + t->at + TCP_CHECKSUM;
	uint16_t old = get_be16(frame + at), new = value;

	put_be16(frame + at, value);
	if ((at - t->at) & 1) {
		old = __builtin_bswap16(old);
		new = __builtin_bswap16(new);
	}
	/* RFC 1624. */
	put_be16(sum, (uint16_t)~fold((uint64_t)(uint16_t)~get_be16(sum) + (uint16_t)~old + new));
}

void net_raise_mss(uint8_t *frame, size_t bytes, struct net_offloads offloads, uint16_t mss)
{
	struct tcp t;

	if (!find_tcp(frame, bytes, &t) || !(frame[t.at + 13] & TCP_SYN) || !(t.ipv6 ? offloads.tso6 : offloads.tso4))
		return;
	for (unsigned at = t.at + TCP_BYTES, end = t.at + t.header; at < end && frame[at] != OPTION_END;) {
		unsigned length = frame[at] == OPTION_NOP ? 1 : at + 1 < end ? frame[at + 1] : 0;

		if (!length || (length == 1 && frame[at] != OPTION_NOP) || length > end - at)
			return;
		if (frame[at] == OPTION_MSS && length == 4 && get_be16(frame + at + 2) < mss)
			replace16(frame, &t, at + 2, mss);
		at += length;
	}
}

/* What the checksum field holds while the rest is left to others. */
static uint16_t pseudo_header_sum(const uint8_t *frame, const struct tcp *t)
{
	uint64_t sum = t->ipv6 ? sum_bytes(frame + t->ip + 8, 32) : sum_bytes(frame + t->ip + 12, 8);

	return fold(sum + __builtin_bswap16(PROTOCOL_TCP) + __builtin_bswap16((uint16_t)t->segment));
}

void net_header_for(uint8_t *frame, size_t bytes, struct net_offloads offloads, struct net_header *header)
{
	struct tcp t;

	*header = (struct net_header){ .flags = offloads.csum ? NET_DATA_VALID : 0 };
	if (bytes <= NET_ETHERNET_BYTES + NET_MTU || !find_tcp(frame, bytes, &t) || !(t.ipv6 ? offloads.tso6 : offloads.tso4))
		return;
	header->flags = NET_NEEDS_CSUM;
	header->gso_type = t.ipv6 ? NET_GSO_TCPV6 : NET_GSO_TCPV4;
	header->hdr_len = le16((uint16_t)(t.at + t.header));
	header->gso_size = le16((uint16_t)(NET_MTU + NET_ETHERNET_BYTES - t.at - t.header));
	header->csum_start = le16((uint16_t)t.at);
	header->csum_offset = le16(TCP_CHECKSUM);
	put_le16(frame + t.at + TCP_CHECKSUM, pseudo_header_sum(frame, &t));
}
