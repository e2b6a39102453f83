/* SPDX-License-Identifier: Apache-2.0 */
/* The command channel; see agent.h. Everything from the guest is checked: it may say anything. */
#include <stdlib.h>
#include <string.h>

#include "vm/agent.h"

#define RETRY_NS 2000000u

/* Character @i of the reply "X <hex>\n"; 0 past its end. */
static char reply_at(const struct agent *a, size_t i)
{
	static const char hex[] = "0123456789abcdef";
	size_t len = strlen(a->command);

	if (i < 2)
		return i ? ' ' : 'X';
	i -= 2;
	if (i < 2 * len)
		return hex[(uint8_t)a->command[i / 2] >> (i & 1 ? 0 : 4) & 15];
	return i == 2 * len ? '\n' : 0;
}

static void send_reply(void *ctx)
{
	struct agent *a = ctx;
	uint8_t buf[64];
	size_t n = 0, room = a->client->room(a->client->dev);

	while (n < MIN(room, sizeof(buf)) && reply_at(a, a->sent + n)) {
		buf[n] = (uint8_t)reply_at(a, a->sent + n);
		n++;
	}
	if (n)
		a->client->input(a->client->dev, buf, n);
	a->sent += n;
	if (reply_at(a, a->sent))
		timer_arm(&a->retry, timer_now(&a->retry) + RETRY_NS);
}

static void handle_line(struct agent *a)
{
	char *end;
	long status;

	if (!strcmp(a->line, "R") && !atomic_exchange(&a->asked, true)) {
		event_loop_post(a->loop, &a->kick);
	} else if (a->line[0] == 'S' && a->line[1] == ' ') {
		status = strtol(a->line + 2, &end, 10);
		if (!*end && end != a->line + 2 && status >= 0 && status <= 255)
			atomic_store(&a->status, (int)status);
	}
}

static size_t agent_write(void *ctx, const uint8_t *buf, size_t len)
{
	struct agent *a = ctx;

	for (size_t i = 0; i < len; i++) {
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

void agent_init(struct agent *a, struct event_loop *loop, const char *command)
{
	*a = (struct agent){ .command = command, .loop = loop };
	a->kick = (struct event_post){ .fn = send_reply, .ctx = a };
	atomic_store(&a->status, -1);
	timer_init(&a->retry, event_loop_timers(loop), send_reply, a);
}

struct chardev agent_chardev(struct agent *a)
{
	return (struct chardev){ .write = agent_write, .ctx = a };
}

void agent_attach(struct agent *a, const struct chardev_client *client)
{
	a->client = client;
}

void agent_fini(struct agent *a)
{
	timer_disarm(&a->retry);
	event_loop_post_cancel(a->loop, &a->kick);
}
