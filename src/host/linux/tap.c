/* SPDX-License-Identifier: Apache-2.0 */
/* Tap devices. */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>

#include "host/linux/linux.h"
#include "host/tap.h"

static enum lodge_err refused(const char *what, const char *name, struct lodge_error *err)
{
	const char *hint = errno == EPERM ? "; the administrator can make one for you: ip tuntap add NAME mode tap user USER" :
			   errno == EBUSY ? "; another program has it" : "";
	int os_error = errno;

	return error_set(err, os_error == EPERM ? LODGE_ERR_PERM : LODGE_ERR_IO, "cannot use %s '%s': %s%s", what, name, strerror(os_error), hint);
}

static enum lodge_err join_bridge(const char *tap, const char *bridge, struct lodge_error *err)
{
	struct ifreq r = { .ifr_ifindex = (int)if_nametoindex(tap) };
	int fd, failed;

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", bridge);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return refused("bridge", bridge, err);
	failed = ioctl(fd, SIOCBRADDIF, &r);
	if (!failed) {
		struct ifreq up = { .ifr_flags = IFF_UP };

		snprintf(up.ifr_name, sizeof(up.ifr_name), "%s", tap);
		failed = ioctl(fd, SIOCSIFFLAGS, &up);
	}
	if (failed)
		(void)refused("bridge", bridge, err);
	close(fd);
	return failed ? err->code : LODGE_OK;
}

enum lodge_err host_tap_open(const char *name, const char *bridge, int *fd, struct lodge_error *err)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = sizeof(struct net_header);
	enum lodge_err rc = LODGE_OK;

	if (strlen(bridge ? bridge : name) >= sizeof(r.ifr_name))
		return error_set(err, LODGE_ERR_ARG, "'%s' is longer than an interface's name may be", bridge ? bridge : name);
	if (bridge && !if_nametoindex(bridge))
		return error_set(err, LODGE_ERR_NOT_FOUND, "there is no bridge '%s'; `ip link` lists what there is", bridge);
	/* The kernel would make one that nobody configured, and which would be gone with us. */
	if (!bridge && !if_nametoindex(name))
		return error_set(err, LODGE_ERR_NOT_FOUND, "there is no interface '%s'; the administrator can make it: ip tuntap add %s mode tap user USER",
				 name, name);
	*fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return error_set_os(err, LODGE_ERR_IO, errno, "cannot open /dev/net/tun for --net %s", bridge ? bridge : name);
	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", bridge ? "lodge%d" : name);
	if (ioctl(*fd, TUNSETIFF, &r) || ioctl(*fd, TUNSETVNETHDRSZ, &header))
		rc = refused(bridge ? "a new interface on bridge" : "interface", bridge ? bridge : name, err);
	else if (bridge)
		rc = join_bridge(r.ifr_name, bridge, err);
	if (rc != LODGE_OK)
		close(*fd);
	return rc;
}

void host_tap_offloads(int fd, struct net_offloads to_card)
{
	unsigned long flags = (to_card.csum ? TUN_F_CSUM : 0u) | (to_card.tso4 ? TUN_F_TSO4 | TUN_F_TSO_ECN : 0u) | (to_card.tso6 ? TUN_F_TSO6 : 0u);

	if (ioctl(fd, TUNSETOFFLOAD, flags))
		ioctl(fd, TUNSETOFFLOAD, 0ul); /* the kernel does it all */
}

void host_tap_send(int fd, const struct net_iov *iov, unsigned n)
{
	struct iovec v[NET_IOV_MAX];
	ssize_t sent;

	n = linux_iovec(v, iov, n);
	do
		sent = writev(fd, v, (int)n);
	while (sent < 0 && errno == EINTR);
}

long host_tap_receive(int fd, void *buffer, size_t cap)
{
	ssize_t n;

	do
		n = read(fd, buffer, cap);
	while (n < 0 && errno == EINTR);
	return n >= 0 ? n : errno == EAGAIN ? 0 : -1;
}

void host_tap_close(int fd)
{
	if (fd >= 0)
		close(fd);
}
