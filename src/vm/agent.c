/* SPDX-License-Identifier: Apache-2.0 */
/* The command channel; see agent.h. Everything from the guest is checked: it may say anything, as often as it likes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "vm/agent.h"

#define RETRY_NS 20000000u /* for a port that is busy with a loopback test */
#define REPLY_HEAD_BYTES 32

/* ---- to the guest: I/O thread ---- */

static char *put_hex(char *p, const uint8_t *bytes, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*p++ = hex[bytes[i] >> 4];
		*p++ = hex[bytes[i] & 15];
	}
	return p;
}

static void reply(struct agent *a, size_t len)
{
	a->reply_len = len;
	a->sent = 0;
}

static void send_more(struct agent *a)
{
	size_t n = MIN(a->client->room(a->client->dev), a->reply_len - a->sent);

	if (n)
		a->client->input(a->client->dev, (const uint8_t *)a->reply + a->sent, n);
	a->sent += n;
	if (a->sent < a->reply_len)
		timer_arm(&a->retry, timer_now(&a->retry) + RETRY_NS);
}

static void reply_command(struct agent *a)
{
	const char *command = a->config.command;
	size_t n = fmt_string(a->reply, REPLY_HEAD_BYTES, "X -%s%s ", a->config.in_fd >= 0 ? "i" : "", a->config.raw_output ? "o" : "");
	char *end = put_hex(a->reply + n, (const uint8_t *)command, strlen(command));

	*end++ = '\n';
	reply(a, (size_t)(end - a->reply));
}

static void end_input(struct agent *a)
{
	event_watch_remove(a->config.loop, &a->in_watch);
	a->in_watch.fd = -1;
	reply(a, fmt_string(a->reply, REPLY_HEAD_BYTES, "E\n"));
}

static void on_input(void *ctx, unsigned events LODGE_UNUSED)
{
	struct agent *a = ctx;
	uint8_t buf[AGENT_INPUT_BYTES];
	ssize_t n = read(a->in_watch.fd, buf, sizeof(buf));
	size_t head;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		event_watch_remove(a->config.loop, &a->in_watch);
		head = fmt_string(a->reply, REPLY_HEAD_BYTES, "D %zd\n", n);
		memcpy(a->reply + head, buf, (size_t)n);
		reply(a, head + (size_t)n);
	} else {
		end_input(a);
	}
	send_more(a);
}

/* Something was asked, or the port has room. */
static void on_kick(void *ctx)
{
	struct agent *a = ctx;

	if (a->sent == a->reply_len) {
		if (atomic_exchange(&a->asked, false))
			reply_command(a);
		else if (!atomic_exchange(&a->wants_input, false))
			return;
		else if (a->in_watch.fd < 0)
			end_input(a);
		else if (!a->in_watch.added && event_watch_add(a->config.loop, &a->in_watch, EVENT_READ, NULL) != LODGE_OK)
			end_input(a);
	}
	send_more(a);
}

/* ---- from the guest: vcpu thread ---- */

static void handle_status(struct agent *a, const char *digits)
{
	int value = 0;

	for (const char *p = digits; *p; p++) {
		if (*p < '0' || *p > '9' || p - digits == 3)
			return;
		value = 10 * value + (*p - '0');
	}
	if (!*digits || value > 255)
		return;
	atomic_store(&a->status, value);
	if (a->config.ended)
		a->config.ended(a->config.ctx);
}

static void handle_line(struct agent *a)
{
	if (!strcmp(a->line, "V " AGENT_VERSION))
		a->understood = true;
	else if (!strcmp(a->line, "R") && !a->understood)
		a->config.refused(a->config.ctx);
	else if (!strcmp(a->line, "R"))
		atomic_store(&a->asked, true);
	else if (!strcmp(a->line, "G"))
		atomic_store(&a->wants_input, true);
	else if (!strncmp(a->line, "S ", 2))
		handle_status(a, a->line + 2);
	else
		return;
	event_loop_post(a->config.loop, &a->kick);
}

static size_t agent_write(void *ctx, const uint8_t *buf, size_t len)
{
	struct agent *a = ctx;

	for (size_t i = 0; i < len && a->config.command; i++) {
		if (buf[i] == '\n') {
			a->line[a->len] = 0;
			handle_line(a);
			a->len = 0;
		} else if (buf[i] != '\r' && a->len < sizeof(a->line) - 1) {
			a->line[a->len++] = (char)buf[i];
		}
	}
	return len;
}

static void agent_input_wanted(void *ctx)
{
	struct agent *a = ctx;

	if (a->config.command)
		event_loop_post(a->config.loop, &a->kick);
}

/* ---- life ---- */

enum lodge_err agent_init(struct agent *a, const struct agent_config *config, struct lodge_error *err)
{
	size_t n = config->command ? strlen(config->command) : 0;

	*a = (struct agent){ .config = *config };
	a->kick = (struct event_post){ .fn = on_kick, .ctx = a };
	a->in_watch = (struct event_watch){ .fd = config->in_fd, .fn = on_input, .ctx = a };
	atomic_store(&a->status, -1);
	timer_init(&a->retry, event_loop_timers(config->loop), on_kick, a);
	if (n > AGENT_COMMAND_MAX)
		return error_set(err, LODGE_ERR_ARG, "the command behind `--` has %zu bytes; at most %d can be sent: put it into a script in the initrd",
				 n, AGENT_COMMAND_MAX);
	a->reply = host_alloc(REPLY_HEAD_BYTES + MAX(2 * n, (size_t)AGENT_INPUT_BYTES), 1);
	return a->reply ? LODGE_OK : error_set(err, LODGE_ERR_NOMEM, "out of memory");
}

void agent_fini(struct agent *a)
{
	if (!a->config.loop)
		return;
	timer_disarm(&a->retry);
	event_watch_remove(a->config.loop, &a->in_watch);
	event_loop_post_cancel(a->config.loop, &a->kick);
	host_free(a->reply);
}

struct chardev agent_chardev(struct agent *a)
{
	return (struct chardev){ .write = agent_write, .input_wanted = agent_input_wanted, .ctx = a };
}

void agent_attach(struct agent *a, const struct chardev_client *client)
{
	a->client = client;
}
