/* SPDX-License-Identifier: Apache-2.0 */
/* Deflate by zlib, Zstandard by libzstd: into a buffer of known size, with rubbish allowed behind the input. */
#include <zlib.h>
#include <zstd.h>

#include "host/unpack.h"

#define DEFLATE_WINDOW_BITS 12 /* what the format prescribes; negative for zlib: no header */

static bool unpack_deflate(const void *in, size_t in_bytes, void *out, size_t out_bytes)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)in, .avail_in = (uInt)in_bytes, .next_out = out, .avail_out = (uInt)out_bytes };

	if (inflateInit2(&z, -DEFLATE_WINDOW_BITS) != Z_OK)
		return false;
	(void)inflate(&z, Z_FINISH); /* what counts is whether the cluster is full */
	(void)inflateEnd(&z);
	return !z.avail_out;
}

static bool unpack_zstd(const void *in, size_t in_bytes, void *out, size_t out_bytes)
{
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	ZSTD_inBuffer input = { .src = in, .size = in_bytes };
	ZSTD_outBuffer output = { .dst = out, .size = out_bytes };

	while (ctx && output.pos < output.size) {
		size_t before = output.pos + input.pos;
		size_t rc = ZSTD_decompressStream(ctx, &output, &input);

		if (ZSTD_isError(rc) || output.pos + input.pos == before)
			break;
	}
	ZSTD_freeDCtx(ctx);
	return output.pos == output.size;
}

bool host_unpack(enum block_compression how, const void *in, size_t in_bytes, void *out, size_t out_bytes)
{
	return how == BLOCK_ZSTD ? unpack_zstd(in, in_bytes, out, out_bytes) : unpack_deflate(in, in_bytes, out, out_bytes);
}
