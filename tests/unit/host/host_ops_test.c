/* SPDX-License-Identifier: Apache-2.0 */
/* What the core asks of the host: locks, waits, code, faults, clocks; and files and RAM. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "unit.h"
#include "host/file.h"
#include "host/host_ops.h"
#include "host/ram.h"
#include "host/thread.h"

#define MS UINT64_C(1000000)

/* ---- locks and waits ---- */

struct counter {
	struct host_mutex lock;
	unsigned long n; /* guarded by lock */
};

static void count_up(void *ctx)
{
	struct counter *c = ctx;

	for (int i = 0; i < 200000; i++) {
		host_mutex_lock(&c->lock);
		c->n++;
		host_mutex_unlock(&c->lock);
	}
}

static void a_mutex_excludes(void **state)
{
	struct counter c = { 0 };
	struct host_thread a, b;

	assert_int_equal(host_thread_start(&a, "count-a", count_up, &c, NULL), LODGE_OK);
	assert_int_equal(host_thread_start(&b, "count-b-with-a-long-name", count_up, &c, NULL), LODGE_OK);
	host_thread_join(&a);
	host_thread_join(&b);
	host_thread_join(&b);
	assert_int_equal(c.n, 400000);
	assert_int_equal(c.lock.word, 0);
}

struct ping {
	_Atomic uint32_t word;
};

static void pong(void *ctx)
{
	struct ping *p = ctx;

	for (uint32_t i = 0; i < 1000; i++) {
		while (atomic_load(&p->word) != 2 * i + 1)
			host_wait(&p->word, 2 * i, UINT64_MAX);
		atomic_store(&p->word, 2 * i + 2);
		host_wake(&p->word, true);
	}
}

static void waits_end_at_a_wake(void **state)
{
	struct ping p = { 0 };
	struct host_thread t;

	assert_int_equal(host_thread_start(&t, "pong", pong, &p, NULL), LODGE_OK);
	for (uint32_t i = 0; i < 1000; i++) {
		atomic_store(&p.word, 2 * i + 1);
		host_wake(&p.word, false);
		while (atomic_load(&p.word) != 2 * i + 2)
			host_wait(&p.word, 2 * i + 1, UINT64_MAX);
	}
	host_thread_join(&t);
}

static void waits_end_at_their_deadline(void **state)
{
	_Atomic uint32_t word = 5;
	uint64_t start = host_clock_ns();

	host_wait(&word, 4, UINT64_MAX); /* the value differs: at once */
	host_wait(&word, 5, start + 10 * MS);
	assert_true(host_clock_ns() >= start + 9 * MS);
	assert_true(host_clock_ns() < start + 2000 * MS);
	host_wait(&word, 5, 0);
}

/* ---- clocks ---- */

static void clocks_run(void **state)
{
	uint64_t a = host_clock_ns(), khz;

	assert_true(host_clock_ns() >= a);
	assert_true(host_wallclock_ns() > UINT64_C(1600000000) * 1000 * MS);
	khz = host_tsc_khz();
	if (khz)
		assert_in_range(khz, 200000, 20000000);
	host_thread_runqueue_wait_ns();
	assert_true(host_cpu_count() >= 1);
}

static void randomness_differs(void **state)
{
	uint8_t a[32], b[32];

	host_random(a, sizeof(a));
	host_random(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	host_random(a, 0);
}

/* ---- memory ---- */

static void memory_comes_zeroed_and_aligned(void **state)
{
	for (size_t align = 1; align <= 4096; align *= 2) {
		uint8_t *p = host_alloc(1000, align);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % align, 0);
		for (int i = 0; i < 1000; i++)
			assert_int_equal(p[i], 0);
		memset(p, 1, 1000);
		host_free(p);
	}
	host_free(NULL);
#ifndef LODGE_SANITIZE /* sanitizers end the process instead */
	assert_null(host_alloc(SIZE_MAX / 2, 64));
#endif
}

static void sparse_memory_costs_nothing(void **state)
{
	size_t bytes = (size_t)64 << 30;
	uint8_t *p = host_alloc_sparse(bytes);

	assert_non_null(p);
	assert_int_equal(p[bytes - 1], 0);
	p[12345] = 1;
	host_free_sparse(p, bytes);
	host_free_sparse(NULL, 5);
}

static void ram_is_sparse_and_shared(void **state)
{
	struct host_ram ram;
	struct lodge_error err = { 0 };
	struct stat st;
	char c = 0;

	assert_int_equal(host_ram_create(&ram, (uint64_t)64 << 30, true, &err), LODGE_OK);
	ram.hva[ram.bytes - 1] = 7; /* may be anonymous */
	host_ram_destroy(&ram);
	assert_int_equal(host_ram_create(&ram, (uint64_t)64 << 30, false, &err), LODGE_OK);
	ram.hva[ram.bytes - 1] = 7;
	assert_int_equal(pread(ram.fd, &c, 1, (off_t)ram.bytes - 1), 1);
	assert_int_equal(c, 7);
	assert_int_equal(fstat(ram.fd, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 <= (uint64_t)4 << 20);
	host_ram_destroy(&ram);
	host_ram_destroy(&ram);
	assert_int_equal(host_ram_create(&ram, 0, false, &err), LODGE_ERR_ARG);
	assert_int_equal(host_ram_create(&ram, 4097, false, &err), LODGE_ERR_ARG);
	assert_int_equal(host_ram_create(&ram, UINT64_MAX - 4095, false, &err), LODGE_ERR_ARG);
	host_ram_destroy(&ram);
}

/* ---- generated code ---- */

typedef int code_fn(void);

static code_fn *code_at(const uint8_t *p)
{
	return (code_fn *)(uintptr_t)p;
}

static void put_return(uint8_t *p, uint8_t value)
{
	memcpy(p, "\xb8\0\0\0\0\xc3", 6); /* mov eax, imm32; ret */
	p[1] = value;
}

static void code_is_written_in_one_map_and_run_in_the_other(void **state)
{
	struct host_code_area area;
	struct lodge_error err = { 0 };

	if (host_code_alloc_dual(&area, 1 << 20, &err) == LODGE_ERR_UNSUPPORTED)
		unit_skip(err.text);
	assert_int_equal(err.code, LODGE_OK);
	for (int i = 0; i < 100; i++) {
		put_return(area.rw + 64, (uint8_t)i);
		host_sync_core();
		assert_int_equal(code_at(area.rx + 64)(), i);
	}
	put_return(area.rw + area.bytes - 6, 42);
	assert_int_equal(code_at(area.rx + area.bytes - 6)(), 42);
	host_code_free(&area);
	host_code_free(&area);
}

static void code_lies_near_text(void **state)
{
	struct host_code_area area;
	struct lodge_error err = { 0 };
	int64_t distance;

	if (host_code_alloc_dual(&area, (size_t)256 << 20, &err))
		unit_skip(err.text);
	distance = (int64_t)((uintptr_t)area.rx - (uintptr_t)&host_code_alloc_dual);
#ifndef LODGE_SANITIZE
	assert_true(distance < INT32_MAX && distance > INT32_MIN);
#endif
	(void)distance;
	host_code_free(&area);
}

static void fill(uint8_t *p, size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(i * 31 + (i >> 12) + seed);
}

static bool filled(const uint8_t *p, size_t bytes, unsigned seed)
{
	for (size_t i = 0; i < bytes; i++)
		if (p[i] != (uint8_t)(i * 31 + (i >> 12) + seed))
			return false;
	return true;
}

/* What is there stays, and what was never touched is zero still; a host without huge pages does nothing. */
static void huge_pages_keep_what_is_there(void **state)
{
	const size_t window = HOST_HUGE_PAGE_BYTES, used = window / 4 + 123;
	uint8_t *p = host_alloc_sparse(4 * window);
	struct host_code_area area;

	assert_non_null(p);
	assert_int_equal((uintptr_t)p % window, 0);
	fill(p + window, used, 1);
	host_want_huge_page(p + window);
	assert_true(filled(p + window, used, 1));
	assert_int_equal(p[window + used], 0);
	assert_int_equal(p[0], 0);
	host_free_sparse(p, 4 * window);
	if (host_code_alloc_dual(&area, 4 * window, NULL))
		skip();
	assert_int_equal((uintptr_t)area.rw % window, 0);
	fill(area.rw + window, used, 2);
	assert_true(filled(area.rx + window, used, 2));
	host_want_huge_page(area.rw + window);
	assert_true(filled(area.rx + window, used, 2));
	put_return(area.rw + 2 * window - 6, 77);
	host_sync_core();
	assert_int_equal(code_at(area.rx + 2 * window - 6)(), 77);
	assert_true(filled(area.rw + window, used, 2));
	host_code_free(&area);
}

static struct host_code_area fault_area;

/* Skips the faulting instruction of the test's code, which sits at its start. */
static bool fault_skip(struct host_fault *fault)
{
	uint64_t at = *fault->rip - (uintptr_t)fault_area.rx;

	if (at >= fault_area.bytes)
		return false;
	*fault->gpr[0] = (uint64_t)fault->kind << 32 | (fault->addr & 0xffff);
	*fault->gpr[2] = fault->error_code;
	*fault->rip = (uintptr_t)fault_area.rx + fault_area.rw[0xfff];
	return true;
}

static uint64_t run_faulting(const char *bytes, size_t len, bool set_ac)
{
	uint64_t rax = 0;

	memcpy(fault_area.rw, bytes, len);
	fault_area.rw[len] = 0xc3;
	fault_area.rw[0xfff] = (uint8_t)len;
	__asm__ volatile("pushfq; or %2, (%%rsp); popfq; call *%1; pushfq; andq $~0x40000, (%%rsp); popfq"
			 : "=a"(rax) : "r"(fault_area.rx), "r"(set_ac ? UINT64_C(0x40000) : UINT64_C(0)) : "rdx", "rcx", "memory", "cc");
	return rax;
}

#ifdef LODGE_SANITIZE
#define FAULTS_WITH_AC 0 /* TSan's handler runs before ours and is not made for AC */
#else
#define FAULTS_WITH_AC 1
#endif

static void faults_reach_the_hook(void **state)
{
	struct lodge_error err = { 0 };

	if (host_code_alloc_dual(&fault_area, 4096, &err))
		unit_skip(err.text);
	assert_int_equal(host_fault_hook_install(fault_skip, NULL), LODGE_OK);
	assert_int_equal(host_fault_hook_install(fault_skip, NULL), LODGE_OK);
	assert_int_equal(host_fault_thread_init(NULL), LODGE_OK);
	assert_int_equal(host_fault_thread_init(NULL), LODGE_OK);
	for (int ac = 0; ac <= FAULTS_WITH_AC; ac++) {
		/* mov eax, [abs 0x10]: address and kind arrive */
		assert_true(run_faulting("\x8b\x04\x25\x10\0\0\0", 7, ac) == ((uint64_t)HOST_FAULT_SEGV << 32 | 0x10));
		assert_true(run_faulting("\x0f\x0b", 2, ac) >> 32 == HOST_FAULT_ILL);       /* ud2 */
		assert_true(run_faulting("\x31\xc9\xf7\xf1", 4, ac) >> 32 == HOST_FAULT_FPE); /* div by zero */
		assert_true(run_faulting("\xcc", 1, ac) >> 32 == HOST_FAULT_TRAP);          /* int3 */
	}
	host_fault_thread_fini();
	host_code_free(&fault_area);
}

static bool fault_decline(struct host_fault *fault LODGE_UNUSED)
{
	return false;
}

static void handler_of_somebody_else(int sig LODGE_UNUSED)
{
	_exit(33);
}

/* In a child: a fault that is not the hook's goes to the handler that was there before. */
static int child_fault(bool earlier_handler)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(1);
		signal(SIGSEGV, earlier_handler ? handler_of_somebody_else : SIG_DFL);
		if (host_fault_hook_install(fault_decline, NULL))
			_exit(34);
		__asm__ volatile("movb $1, 8");
		_exit(35);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Runs before any hook is installed: a process has only one. */
static void declined_faults_go_on(void **state)
{
	int status = child_fault(true);

	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 33);
	status = child_fault(false);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void gs_base_is_set(void **state)
{
	uint64_t cell = 0x1122334455667788, value;

	host_set_gs_base(&cell);
	__asm__ volatile("mov %%gs:0, %0" : "=r"(value));
	assert_true(value == cell);
	host_set_gs_base(NULL);
}

/* ---- files ---- */

static void files_load_whole(void **state)
{
	char path[] = "/tmp/lodge-test-XXXXXX";
	int fd = mkstemp(path);
	struct host_file file;
	struct lodge_error err = { 0 };

	assert_int_equal(host_file_load(&file, path, "kernel", 100, &err), LODGE_ERR_FORMAT);
	assert_non_null(strstr(err.text, "is empty"));
	assert_int_equal(host_write_full(fd, "hello", 5, &err), LODGE_OK);
	assert_int_equal(host_file_load(&file, path, "kernel", 5, &err), LODGE_OK);
	assert_int_equal(file.bytes, 5);
	assert_memory_equal(file.data, "hello", 5);
	host_file_unload(&file);
	host_file_unload(&file);
	assert_int_equal(host_file_load(&file, path, "kernel", 4, &err), LODGE_ERR_RANGE);
	assert_non_null(strstr(err.text, "at most 4"));
	close(fd);
	unlink(path);
	assert_int_equal(host_file_load(&file, path, "kernel", 4, &err), LODGE_ERR_NOT_FOUND);
	assert_non_null(strstr(err.text, "cannot open kernel"));
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(host_file_load(&file, "/tmp", "kernel", 4, &err), LODGE_ERR_ARG);
	assert_int_equal(host_file_load(&file, "/dev/null", "kernel", 4, &err), LODGE_ERR_ARG);
	assert_null(file.data);
}

static void reads_and_writes_are_whole(void **state)
{
	int fds[2];
	char buf[6] = { 0 };
	struct lodge_error err = { 0 };

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(host_fd_set_nonblocking(fds[0], true, &err), LODGE_OK);
	assert_int_equal(host_write_full(fds[1], "hello", 5, &err), LODGE_OK);
	assert_int_equal(host_read_full(fds[0], buf, 5, &err), LODGE_OK);
	assert_string_equal(buf, "hello");
	close(fds[1]);
	assert_int_equal(host_read_full(fds[0], buf, 1, &err), LODGE_ERR_RANGE);
	close(fds[0]);
	assert_int_equal(host_read_full(fds[0], buf, 1, &err), LODGE_ERR_IO);
	assert_int_equal(err.os_error, EBADF);
}

static void signals_arrive_on_a_descriptor(void **state)
{
	const int signals[] = { SIGUSR1, SIGTERM };
	int fd;

	assert_int_equal(host_signal_fd(signals, 2, &fd, NULL), LODGE_OK);
	assert_int_equal(host_signal_fd_read(fd), 0);
	kill(getpid(), SIGTERM);
	assert_int_equal(host_signal_fd_read(fd), SIGTERM);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mutex_excludes),
		cmocka_unit_test(waits_end_at_a_wake),
		cmocka_unit_test(waits_end_at_their_deadline),
		cmocka_unit_test(clocks_run),
		cmocka_unit_test(randomness_differs),
		cmocka_unit_test(memory_comes_zeroed_and_aligned),
		cmocka_unit_test(sparse_memory_costs_nothing),
		cmocka_unit_test(ram_is_sparse_and_shared),
		cmocka_unit_test(code_is_written_in_one_map_and_run_in_the_other),
		cmocka_unit_test(code_lies_near_text),
		cmocka_unit_test(huge_pages_keep_what_is_there),
		cmocka_unit_test(declined_faults_go_on),
		cmocka_unit_test(faults_reach_the_hook),
		cmocka_unit_test(gs_base_is_set),
		cmocka_unit_test(files_load_whole),
		cmocka_unit_test(reads_and_writes_are_whole),
		cmocka_unit_test(signals_arrive_on_a_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
