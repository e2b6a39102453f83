/* SPDX-License-Identifier: Apache-2.0 */
/* Disks; see disk.h. Threads are started when there is more work than threads without any. */
#include "block/image.h"
#include "host/host_ops.h"
#include "host/thread.h"
#include "vm/disk.h"
#include "vm/disk_image.h"

#define WORKERS_MAX 4

struct request_list {
	struct block_request *first, **end;
};

struct disk {
	struct block_device block;
	struct block_image *image;
	const char *path;
	struct log *log;
	struct event_loop *loop;
	struct event_post completions;

	struct host_mutex lock; /* guards what follows */
	struct request_list pending, finished;
	unsigned waiting; /* length of pending */
	unsigned workers, idle;
	bool closing;
	struct host_thread threads[WORKERS_MAX];
	_Atomic uint32_t work;       /* counts up with every request; workers sleep on it */
	_Atomic uint32_t finished_n; /* counts up with every result; drain() sleeps on it */
	unsigned in_flight;          /* I/O thread */
};

/* ---- lists; lock held ---- */

static void list_init(struct request_list *list)
{
	list->first = NULL;
	list->end = &list->first;
}

static void list_add(struct request_list *list, struct block_request *r)
{
	r->next = NULL;
	*list->end = r;
	list->end = &r->next;
}

static struct block_request *list_take(struct request_list *list)
{
	struct block_request *r = list->first;

	if (r) {
		list->first = r->next;
		if (!list->first)
			list->end = &list->first;
	}
	return r;
}

/* ---- workers ---- */

static struct block_request *wait_for_work(struct disk *d)
{
	for (;;) {
		uint32_t seen;
		struct block_request *r;
		bool closing;

		host_mutex_lock(&d->lock);
		r = list_take(&d->pending);
		d->waiting -= r != NULL;
		closing = d->closing;
		seen = atomic_load(&d->work);
		d->idle += !r;
		host_mutex_unlock(&d->lock);
		if (r || closing)
			return r;
		host_wait(&d->work, seen, UINT64_MAX);
		host_mutex_lock(&d->lock);
		d->idle--;
		host_mutex_unlock(&d->lock);
	}
}

static const char *verb(enum block_op op)
{
	static const char *const verbs[] = { "read", "write", "flush", "discard", "write of zeros" };

	return verbs[op];
}

static void worker(void *ctx)
{
	struct disk *d = ctx;
	struct block_request *r;

	while ((r = wait_for_work(d))) {
		struct lodge_error err = { 0 };

		r->result = block_image_run(d->image, r, &err);
		if (r->result != LODGE_OK)
			log_guest(d->log, "disk '%s': a %s of %llu bytes at %llu failed, and the guest is told so: %s", d->path, verb(r->op),
				  (unsigned long long)r->bytes, (unsigned long long)r->offset, err.text);
		host_mutex_lock(&d->lock);
		list_add(&d->finished, r);
		host_mutex_unlock(&d->lock);
		atomic_fetch_add(&d->finished_n, 1);
		host_wake(&d->finished_n, true);
		event_loop_post(d->loop, &d->completions);
	}
}

/* One more thread if all are busy. Where the host refuses one, those that run do the work. */
static void add_worker(struct disk *d)
{
	struct lodge_error err = { 0 };
	char name[HOST_THREAD_NAME_BYTES] = "disk-0";
	unsigned n = d->workers;

	if (n == WORKERS_MAX)
		return;
	name[5] = (char)('0' + n);
	if (host_thread_start(&d->threads[n], name, worker, d, &err) == LODGE_OK)
		d->workers++;
}

/* ---- the I/O thread's side ---- */

static void submit(void *ctx, struct block_request *r)
{
	struct disk *d = ctx;
	bool all_busy;

	d->in_flight++;
	host_mutex_lock(&d->lock);
	all_busy = ++d->waiting > d->idle;
	list_add(&d->pending, r);
	host_mutex_unlock(&d->lock);
	atomic_fetch_add(&d->work, 1);
	host_wake(&d->work, false);
	if (all_busy)
		add_worker(d);
}

static void complete(void *ctx)
{
	struct disk *d = ctx;

	for (;;) {
		struct block_request *r;

		host_mutex_lock(&d->lock);
		r = list_take(&d->finished);
		host_mutex_unlock(&d->lock);
		if (!r)
			return;
		d->in_flight--;
		r->done(r);
	}
}

static void drain(void *ctx)
{
	struct disk *d = ctx;

	for (;;) {
		uint32_t seen = atomic_load(&d->finished_n);

		complete(d);
		if (!d->in_flight)
			return;
		host_wait(&d->finished_n, seen, UINT64_MAX);
	}
}

const struct block_device *disk_block(const struct disk *disk) { return &disk->block; }

/* ---- life ---- */

enum lodge_err disk_open(const struct vm_disk *config, struct event_loop *loop, struct log *log, struct disk **out, struct lodge_error *err)
{
	struct disk *d = host_alloc(sizeof(*d), 64);
	enum lodge_err rc;

	if (!d)
		return error_set(err, LODGE_ERR_NOMEM, "out of memory");
	d->path = config->path;
	d->log = log;
	d->loop = loop;
	d->completions = (struct event_post){ .fn = complete, .ctx = d };
	list_init(&d->pending);
	list_init(&d->finished);
	rc = disk_image_open(config, &d->image, err);
	if (rc == LODGE_OK)
		rc = host_thread_start(&d->threads[0], "disk-0", worker, d, err);
	if (rc != LODGE_OK) {
		disk_close(d);
		return rc;
	}
	d->workers = 1;
	d->block = (struct block_device){ .geometry = { .bytes = d->image->bytes, .read_only = d->image->read_only },
					  .submit = submit, .drain = drain, .ctx = d };
	*out = d;
	return LODGE_OK;
}

void disk_close(struct disk *disk)
{
	if (!disk)
		return;
	host_mutex_lock(&disk->lock);
	disk->closing = true;
	host_mutex_unlock(&disk->lock);
	atomic_fetch_add(&disk->work, 1);
	host_wake(&disk->work, true);
	for (unsigned i = 0; i < disk->workers; i++)
		host_thread_join(&disk->threads[i]);
	event_loop_post_cancel(disk->loop, &disk->completions);
	block_image_close(disk->image);
	host_free(disk);
}
