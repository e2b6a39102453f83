/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums and segmentation that a card leaves to the other side, for a network
 * that has neither. Frames are hostile: any bytes of any length will do.
 */
#ifndef LODGE_NET_OFFLOAD_H
#define LODGE_NET_OFFLOAD_H

#include "net/net.h"

/* Fill in the checksum that @header leaves open; false: the header is not for this frame. */
bool net_finish_checksum(const struct net_header *header, uint8_t *frame, size_t bytes) LODGE_MUST_CHECK;

/* In a TCP SYN, tell the receiver that segments of @mss bytes are welcome; @offloads says for which of IPv4 and IPv6 they are. Else nothing. */
void net_raise_mss(uint8_t *frame, size_t bytes, struct net_offloads offloads, uint16_t mss);

/* The header for a frame to the card with good checksums; a TCP segment longer than the MTU becomes one to be segmented. */
void net_header_for(uint8_t *frame, size_t bytes, struct net_offloads offloads, struct net_header *header);

#endif
