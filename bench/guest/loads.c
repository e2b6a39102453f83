/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loads of `make bench`: small programs in one static binary, run in the
 * guest and on the host alike. `loads [NAME...]` prints a line for each:
 *     NAME <ns per operation> <checksum>
 * and `loads --time` one for a program that is not ours.
 * The checksum depends on every operation, so that work that was not done shows.
 * Each load sizes itself to run for about a quarter of a second, and repeats
 * its operations a fixed number of times for the checksum.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One load: run @n operations, return a checksum. */
typedef uint64_t load_fn(uint64_t n);

static uint64_t load_integer(uint64_t n)
{
	uint64_t x = 88172645463325252u, s = 0;

	while (n--) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		s += x;
	}
	return s;
}

static uint64_t load_branchy(uint64_t n)
{
	uint64_t x = 1, s = 0;

	while (n--) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		if (x >> 63)
			s += 3;
		else if (x >> 62 & 1)
			s ^= x;
		else
			s -= 7;
	}
	return s;
}

static NOINLINE uint64_t fib(unsigned n)
{
	return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static uint64_t load_calls(uint64_t n)
{
	uint64_t s = 0;

	/* fib(20) makes 21,891 calls */
	for (uint64_t i = 0; i < n; i += 21891)
		s += fib(20 + (unsigned)(s & 0));
	return s;
}

static NOINLINE uint64_t ind_a(uint64_t v) { return v + 1; }
static NOINLINE uint64_t ind_b(uint64_t v) { return v ^ 0x55; }
static NOINLINE uint64_t ind_c(uint64_t v) { return v * 3; }
static NOINLINE uint64_t ind_d(uint64_t v) { return v - 9; }

static uint64_t load_indirect(uint64_t n)
{
	static uint64_t (*volatile table[4])(uint64_t) = { ind_a, ind_b, ind_c, ind_d };
	uint64_t s = 1, x = 1;

	while (n--) {
		x = x * 6364136223846793005u + 1;
		s = table[x >> 62](s);
	}
	return s;
}

static uint64_t load_l1(uint64_t n)
{
	static volatile uint64_t a[512];
	uint64_t s = 0;

	for (uint64_t i = 0; i < n; i++) {
		a[i & 511] = i + s;
		s += a[(i * 7) & 511];
	}
	return s;
}

static uint64_t load_stream(uint64_t n)
{
	static uint64_t *a;
	const uint64_t words = 4 << 20;
	uint64_t s = 0;

	if (!a) {
		a = malloc(words * 8);
		for (uint64_t i = 0; i < words; i++)
			a[i] = i * 11;
	}
	for (uint64_t i = 0; i < n; i++)
		s = (s + a[i & (words - 1)]) ^ i;
	return s;
}

static uint64_t load_chase(uint64_t n)
{
	static uint32_t *next;
	const uint32_t count = 16 << 20;
	uint32_t p = 0;

	if (!next) {
		uint64_t x = 12345;

		next = malloc((size_t)count * 4);
		for (uint32_t i = 0; i < count; i++)
			next[i] = i;
		for (uint32_t i = count - 1; i > 0; i--) { /* Sattolo: one cycle */
			uint32_t j, t;

			x = x * 6364136223846793005u + 1442695040888963407u;
			j = (uint32_t)((x >> 33) % i);
			t = next[i];
			next[i] = next[j];
			next[j] = t;
		}
	}
	while (n--)
		p = next[p];
	return p;
}

static int compare_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint64_t load_qsort(uint64_t n)
{
	enum { COUNT = 4096 };
	static uint32_t a[COUNT];
	uint64_t s = 0, x = 7;

	for (uint64_t done = 0; done < n; done += COUNT) {
		for (unsigned i = 0; i < COUNT; i++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			a[i] = (uint32_t)(x >> 32);
		}
		qsort(a, COUNT, sizeof(a[0]), compare_u32);
		s += a[0] ^ a[COUNT / 2] ^ a[COUNT - 1];
	}
	return s;
}

static uint64_t load_memcpy(uint64_t n)
{
	enum { BYTES = 1 << 20 };
	static char *a, *b;
	uint64_t s = 0;

	if (!a) {
		a = malloc(BYTES);
		b = malloc(BYTES);
		memset(a, 3, BYTES);
	}
	for (uint64_t i = 0; i < n; i++) {
		a[i % BYTES] = (char)i;
		memcpy(b, a, BYTES);
		s = s * 31 + (uint8_t)b[i % BYTES];
	}
	return s;
}

static uint64_t load_rep_movsb(uint64_t n)
{
	enum { BYTES = 1 << 20 };
	static char *a, *b;
	uint64_t s = 0;

	if (!a) {
		a = malloc(BYTES);
		b = malloc(BYTES);
		memset(a, 3, BYTES);
	}
	for (uint64_t i = 0; i < n; i++) {
		void *d = b;
		const void *f = a;
		size_t c = BYTES;

		a[i % BYTES] = (char)i;
		__asm__ volatile("rep movsb" : "+D"(d), "+S"(f), "+c"(c) : : "memory");
		s = s * 31 + (uint8_t)b[i % BYTES];
	}
	return s;
}

static uint64_t bits_of(double d)
{
	uint64_t u;

	memcpy(&u, &d, 8);
	return u;
}

static uint64_t load_double(uint64_t n)
{
	double x = 1.5, y = 0.25;

	while (n--) {
		x = x * 0.999999 + y;
		y = y * 1.0000001 - x * 1e-9;
	}
	return bits_of(x) ^ bits_of(y);
}

static uint64_t load_sse(uint64_t n)
{
	typedef double v2 __attribute__((vector_size(16)));
	v2 x = { 1.5, 2.5 }, y = { 0.25, 0.5 }, k = { 0.999999, 0.999998 };

	while (n--) {
		x = x * k + y;
		y = y - x * 1e-9;
	}
	return bits_of(x[0]) ^ bits_of(x[1]) ^ bits_of(y[0]) ^ bits_of(y[1]);
}

static uint64_t load_x87(uint64_t n)
{
	long double x = 1.5L, y = 0.25L;

	while (n--) {
		x = x * 0.999999L + y;
		y = y - x * 1e-9L;
	}
	return bits_of((double)x) ^ bits_of((double)y);
}

static uint64_t load_atomic(uint64_t n)
{
	static uint64_t v;

	v = 0;
	while (n--)
		__atomic_fetch_add(&v, n, __ATOMIC_SEQ_CST);
	return v;
}

static uint64_t load_syscall(uint64_t n)
{
	uint64_t same = 0;
	long pid = syscall(SYS_getppid);

	while (n--)
		same += syscall(SYS_getppid) == pid;
	return same;
}

static uint64_t load_clock(uint64_t n)
{
	struct timespec t;
	uint64_t s = 0;

	while (n--)
		s += (uint64_t)(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
	return s;
}

static uint64_t load_fault(uint64_t n)
{
	enum { PAGES = 1024 };
	uint64_t s = 0;

	for (uint64_t done = 0; done < n; done += PAGES) {
		volatile char *p = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		madvise((void *)(uintptr_t)p, PAGES * 4096, MADV_NOHUGEPAGE);
		for (unsigned i = 0; i < PAGES; i++) {
			s += (uint64_t)p[i * 4096] + 1;
			p[i * 4096] = 1;
		}
		munmap((void *)(uintptr_t)p, PAGES * 4096);
	}
	return s;
}

static uint64_t load_mmap(uint64_t n)
{
	uint64_t s = 0;

	while (n--) {
		volatile char *p = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		p[0] = 1;
		s += (uint64_t)p[0];
		munmap((void *)(uintptr_t)p, 16384);
	}
	return s;
}

static volatile sig_atomic_t signals_seen;

static void on_signal(int sig)
{
	(void)sig;
	signals_seen++;
}

static uint64_t load_signal(uint64_t n)
{
	struct sigaction sa = { .sa_handler = on_signal };
	uint64_t s = 0;

	sigaction(SIGUSR1, &sa, NULL);
	signals_seen = 0;
	while (n--) {
		raise(SIGUSR1);
		s++;
	}
	return s + (uint64_t)(signals_seen == (sig_atomic_t)s);
}

static uint64_t load_fork(uint64_t n)
{
	uint64_t s = 0;

	while (n--) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0)
			_exit(7);
		waitpid(pid, &status, 0);
		s += (uint64_t)WEXITSTATUS(status);
	}
	return s;
}

static uint64_t load_exec(uint64_t n)
{
	uint64_t s = 0;

	while (n--) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			execl("/proc/self/exe", "loads", "--exit", (char *)NULL);
			_exit(1);
		}
		waitpid(pid, &status, 0);
		s += (uint64_t)WEXITSTATUS(status);
	}
	return s;
}

static uint64_t load_pipe(uint64_t n)
{
	int to[2], from[2];
	uint64_t s = 0, rounds = n;
	pid_t pid;
	char c = 1;

	if (pipe(to) || pipe(from))
		return 0;
	pid = fork();
	if (pid == 0) {
		while (rounds-- && read(to[0], &c, 1) == 1)
			if (write(from[1], &c, 1) != 1)
				break;
		_exit(0);
	}
	while (n--) {
		if (write(to[1], &c, 1) != 1 || read(from[0], &c, 1) != 1)
			break;
		s += (uint64_t)c;
	}
	waitpid(pid, NULL, 0);
	close(to[0]);
	close(to[1]);
	close(from[0]);
	close(from[1]);
	return s;
}

static uint64_t load_patch(uint64_t n)
{
	static uint8_t *code;
	uint64_t s = 0;

	if (!code) {
		code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memcpy(code, "\xb8\0\0\0\0\xc3", 6); /* mov eax, imm32; ret */
	}
	while (n--) {
		uint32_t v = (uint32_t)n;

		memcpy(code + 1, &v, 4);
		s += ((uint32_t(*)(void))(uintptr_t)code)();
	}
	return s;
}

static const struct load {
	const char *name;
	load_fn *fn;
	uint64_t n; /* operations of one measured run, everywhere the same */
} loads[] = {
	{ "integer", load_integer, 100000000 },
	{ "branchy", load_branchy, 60000000 },
	{ "calls", load_calls, 21891 * 2000 },
	{ "indirect-calls", load_indirect, 20000000 },
	{ "l1-memory", load_l1, 100000000 },
	{ "stream-read", load_stream, 100000000 },
	{ "pointer-chase", load_chase, 2000000 },
	{ "qsort", load_qsort, 4096 * 100 },
	{ "memcpy-1m", load_memcpy, 1000 },
	{ "rep-movsb-1m", load_rep_movsb, 1000 },
	{ "double", load_double, 50000000 },
	{ "sse2-double", load_sse, 50000000 },
	{ "x87", load_x87, 30000000 },
	{ "lock-xadd", load_atomic, 30000000 },
	{ "syscall", load_syscall, 500000 },
	{ "clock-gettime", load_clock, 2000000 },
	{ "page-fault", load_fault, 1024 * 20 },
	{ "mmap-munmap", load_mmap, 10000 },
	{ "signal", load_signal, 50000 },
	{ "fork-wait", load_fork, 300 },
	{ "fork-exec", load_exec, 200 },
	{ "pipe-switch", load_pipe, 10000 },
	{ "self-patch", load_patch, 200000 },
};

/* `loads --time NAME IN OUT CMD...`: run a program from file to file, print its time in all and its output's checksum. */
static int time_program(const char *name, const char *in, const char *out, char **command)
{
	uint64_t start = now_ns(), end, sum = 14695981039346656037u;
	pid_t child = fork();
	int status = 0, c;
	FILE *f;

	if (!child) {
		if (!freopen(in, "r", stdin) || !freopen(out, "w", stdout))
			_exit(126);
		execv(command[0], command);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status) {
		printf("%s failed: wait status %#x\n", name, status);
		return 1;
	}
	end = now_ns();
	f = fopen(out, "r");
	while (f && (c = getc(f)) != EOF)
		sum = (sum ^ (uint64_t)c) * 1099511628211u;
	printf("%s %llu.0 %016llx\n", name, (unsigned long long)(end - start), (unsigned long long)sum);
	return !f;
}

static void run(const struct load *l)
{
	uint64_t start, end, sum;

	l->fn(l->n / 20 + 1); /* warm */
	start = now_ns();
	sum = l->fn(l->n);
	end = now_ns();
	printf("%s %.3f %016llx\n", l->name, (double)(end - start) / (double)l->n, (unsigned long long)sum);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--exit"))
		return 5;
	if (argc > 5 && !strcmp(argv[1], "--time"))
		return time_program(argv[2], argv[3], argv[4], argv + 5);
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++)
			puts(loads[i].name);
		return 0;
	}
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		int wanted = argc < 2;

		for (int a = 1; a < argc; a++)
			wanted |= !strcmp(argv[a], loads[i].name);
		if (wanted)
			run(&loads[i]);
	}
	return 0;
}
