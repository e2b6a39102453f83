/* SPDX-License-Identifier: Apache-2.0 */
/* The user's end of a serial port; see console.h. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "vm/console.h"

#define RETRY_NS 20000000u /* for a port that is busy with a loopback test */

static size_t queue_peek(struct console *c, uint8_t *buf, size_t cap)
{
	size_t n;

	host_mutex_lock(&c->lock);
	n = MIN(cap, MIN(c->len, CONSOLE_QUEUE_BYTES - c->head));
	memcpy(buf, c->queue + c->head, n);
	host_mutex_unlock(&c->lock);
	return n;
}

static void queue_drop(struct console *c, size_t n)
{
	bool starved;

	host_mutex_lock(&c->lock);
	c->head = (c->head + n) % CONSOLE_QUEUE_BYTES;
	c->len -= n;
	starved = c->starved && c->len < CONSOLE_QUEUE_BYTES / 2;
	if (starved)
		c->starved = false;
	host_mutex_unlock(&c->lock);
	if (starved && c->client && c->client->drained)
		c->client->drained(c->client->dev);
}

static void out_failed(struct console *c, int os_error)
{
	c->out_errno = os_error;
	if (c->command)
		c->command(c->command_ctx, CONSOLE_OUT_FAILED);
}

/* Write one piece; false when there is nothing left or the descriptor is not ready. */
static bool write_piece(struct console *c)
{
	uint8_t buf[4096]; /* a ready pipe takes this much without blocking */
	size_t n = queue_peek(c, buf, sizeof(buf));
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };
	ssize_t done;

	if (!n)
		return false;
	if (c->out_fd < 0 || c->out_errno) {
		queue_drop(c, n);
		return true;
	}
	if (poll(&p, 1, 0) <= 0)
		return false;
	done = write(c->out_fd, buf, n);
	if (done < 0 && errno != EAGAIN && errno != EINTR)
		out_failed(c, errno);
	if (done > 0)
		queue_drop(c, (size_t)done);
	return done > 0;
}

static void on_writable(void *ctx, unsigned events)
{
	struct console *c = ctx;
	bool more;

	(void)events;
	while (write_piece(c))
		continue;
	host_mutex_lock(&c->lock);
	more = c->len > 0;
	host_mutex_unlock(&c->lock);
	if (!more || c->out_errno)
		event_watch_remove(c->loop, &c->out_watch);
}

static void on_kick(void *ctx)
{
	struct console *c = ctx;
	bool more;

	while (write_piece(c))
		continue;
	host_mutex_lock(&c->lock);
	more = c->len > 0;
	host_mutex_unlock(&c->lock);
	if (more && !c->out_watch.added && event_watch_add(c->loop, &c->out_watch, EVENT_WRITE, NULL) != LODGE_OK)
		out_failed(c, ENOMEM);
}

static size_t console_write(void *ctx, const uint8_t *buf, size_t len)
{
	struct console *c = ctx;
	size_t n, tail;

	if (atomic_load_explicit(&c->muted, memory_order_relaxed))
		return len;
	host_mutex_lock(&c->lock);
	n = MIN(len, CONSOLE_QUEUE_BYTES - c->len);
	for (size_t done = 0; done < n;) {
		size_t piece;

		tail = (c->head + c->len) % CONSOLE_QUEUE_BYTES;
		piece = MIN(n - done, CONSOLE_QUEUE_BYTES - tail);
		memcpy(c->queue + tail, buf + done, piece);
		c->len += piece;
		done += piece;
	}
	if (n < len)
		c->starved = true;
	host_mutex_unlock(&c->lock);
	event_loop_post(c->loop, &c->kick);
	return n;
}

static void console_input_wanted(void *ctx)
{
	struct console *c = ctx;

	event_loop_post(c->loop, &c->want);
}

/* Hand pending input to the guest; what does not fit waits. */
static void feed(struct console *c)
{
	size_t n = MIN(c->pending_len, c->client->room(c->client->dev));

	if (n) {
		c->client->input(c->client->dev, c->pending, n);
		memmove(c->pending, c->pending + n, c->pending_len - n);
		c->pending_len -= n;
	}
	if (c->pending_len)
		timer_arm(&c->retry, timer_now(&c->retry) + RETRY_NS);
	else if (!c->in_watch.added && c->in_fd >= 0 && event_watch_add(c->loop, &c->in_watch, EVENT_READ, NULL) != LODGE_OK)
		c->in_fd = -1;
}

static void on_room(void *ctx)
{
	struct console *c = ctx;

	if (c->pending_len)
		feed(c);
}

static void open_menu(struct console *c)
{
	c->in_menu = true;
	c->command(c->command_ctx, CONSOLE_MENU);
}

static void menu_key(struct console *c, uint8_t key)
{
	c->in_menu = false;
	if (key == 'q' || key == 'Q')
		c->command(c->command_ctx, CONSOLE_QUIT);
	else if (key == 'i' || key == 'I')
		c->command(c->command_ctx, CONSOLE_STATUS);
	else if (key == CONSOLE_ESCAPE || key == ']' || key == 's')
		c->pending[c->pending_len++] = CONSOLE_ESCAPE;
}

static void on_readable(void *ctx, unsigned events)
{
	struct console *c = ctx;
	uint8_t buf[sizeof(c->pending)];
	ssize_t n = read(c->in_fd, buf, sizeof(buf) - c->pending_len);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* end of input does not end the machine */
		event_watch_remove(c->loop, &c->in_watch);
		c->in_fd = -1;
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (c->in_menu)
			menu_key(c, buf[i]);
		else if (c->escapes && buf[i] == CONSOLE_ESCAPE)
			open_menu(c);
		else
			c->pending[c->pending_len++] = buf[i];
	}
	if (c->pending_len)
		event_watch_remove(c->loop, &c->in_watch);
	feed(c);
}

/*
 * Non-blocking must not be set on the user's own open file, which other
 * processes share: open a terminal or pipe once more. A regular file never blocks.
 */
static int reopen_nonblocking(int fd)
{
	char path[32];

	fmt_string(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool may_block(int fd)
{
	return isatty(fd) == 1 || (lseek(fd, 0, SEEK_CUR) < 0 && errno == ESPIPE);
}

void console_init(struct console *c, struct event_loop *loop, int in_fd, int out_fd)
{
	int own = out_fd >= 0 && may_block(out_fd) ? reopen_nonblocking(out_fd) : -1;

	*c = (struct console){ .loop = loop, .in_fd = in_fd, .out_fd = own >= 0 ? own : out_fd, .out_own = own >= 0 };
	c->in_watch = (struct event_watch){ .fd = in_fd, .fn = on_readable, .ctx = c };
	c->out_watch = (struct event_watch){ .fd = c->out_fd, .fn = on_writable, .ctx = c };
	c->kick = (struct event_post){ .fn = on_kick, .ctx = c };
	c->want = (struct event_post){ .fn = on_room, .ctx = c };
	timer_init(&c->retry, event_loop_timers(loop), on_room, c);
}

struct chardev console_chardev(struct console *c)
{
	return (struct chardev){ .write = console_write, .input_wanted = console_input_wanted, .ctx = c };
}

enum lodge_err console_attach(struct console *c, const struct chardev_client *client, struct lodge_error *err)
{
	c->client = client;
	if (c->in_fd < 0)
		return LODGE_OK;
	return event_watch_add(c->loop, &c->in_watch, EVENT_READ, err);
}

void console_mute(struct console *c)
{
	atomic_store(&c->muted, true);
}

void console_drain(struct console *c)
{
	struct pollfd p = { .fd = c->out_fd, .events = POLLOUT };

	while (c->len) {
		if (!write_piece(c) && poll(&p, 1, 1000) <= 0)
			return;
	}
}

void console_fini(struct console *c)
{
	if (!c->loop)
		return;
	timer_disarm(&c->retry);
	event_watch_remove(c->loop, &c->in_watch);
	event_watch_remove(c->loop, &c->out_watch);
	event_loop_post_cancel(c->loop, &c->kick);
	event_loop_post_cancel(c->loop, &c->want);
	if (c->out_own)
		close(c->out_fd);
}
