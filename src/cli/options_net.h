/* SPDX-License-Identifier: Apache-2.0 */
/* The network options of `lodge run`. */
#ifndef LODGE_CLI_OPTIONS_NET_H
#define LODGE_CLI_OPTIONS_NET_H

#include "vm/vm_config.h"

/* --net none|user|tap:NAME|bridge:NAME */
enum lodge_err options_net(struct vm_net *net, const char *arg, struct lodge_error *err) LODGE_MUST_CHECK;
/* --net-limit RATE: bytes a second, each way */
enum lodge_err options_net_limit(struct vm_net *net, const char *arg, struct lodge_error *err) LODGE_MUST_CHECK;
/* -p [IP:]HOST:GUEST[/udp] */
enum lodge_err options_forward(struct vm_net *net, const char *arg, struct lodge_error *err) LODGE_MUST_CHECK;
/* --allow HOST[:PORT]: an address, a range of them, or a name, which is looked up now. */
enum lodge_err options_allow(struct vm_net *net, const char *arg, struct lodge_error *err) LODGE_MUST_CHECK;
/* --mac XX:XX:XX:XX:XX:XX */
enum lodge_err options_mac(struct vm_net *net, const char *arg, struct lodge_error *err) LODGE_MUST_CHECK;
/* An address of our own, always the same for the same name. */
void options_default_mac(struct vm_net *net, const char *name);

#endif
