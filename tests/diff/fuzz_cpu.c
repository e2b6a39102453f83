/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_cpu [SECONDS [SEED]]: random instructions and sequences against the
 * host until interrupted, or for so long. Prints what disagrees and the count.
 */
#include <stdlib.h>
#include <time.h>
#include "diff.h"

static bool make(struct diff_case *c, uint64_t n, void *ctx)
{
	(void)ctx;
	return n & 1 ? diff_generate_sequence(c, n) : diff_generate_one(c, n);
}

int main(int argc, char **argv)
{
	unsigned seconds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 0;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) << 24;
	struct diff_source src = { .name = "fuzz", .make = make, .first = seed, .count = UINT64_MAX };
	struct diff_totals t = { 0 };
	int rc = diff_run(&src, seconds, 1000, &t);

	printf("fuzz_cpu: %llu cases (%llu ended in an exception), %llu skipped, %llu failed; first seed %llu\n", (unsigned long long)t.run,
	       (unsigned long long)t.faults, (unsigned long long)t.skipped, (unsigned long long)t.failed, (unsigned long long)seed);
	return rc;
}
