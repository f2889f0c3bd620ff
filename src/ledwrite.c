/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "ledwrite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "rt_abi.h"

#define RT_ZSTD_LEVEL 3 /* what zstd calls its default; 6 saves a tenth and takes three times as long */

struct rt_ledwrite {
	int fd;
	int error;
	uint32_t number;
	uint64_t size;
	ZSTD_CCtx *zstd;
	uint8_t *packed;
	size_t cap;
};

/* All of it, or an error. */
static int rt_write_all(int fd, struct iovec *part, int parts)
{
	while (parts) {
		ssize_t n = writev(fd, part, parts);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		while (parts && (size_t)n >= part->iov_len) {
			n -= (ssize_t)part->iov_len;
			part++;
			parts--;
		}
		if (parts) {
			part->iov_base = (uint8_t *)part->iov_base + n;
			part->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int rt_ledwrite_put(struct rt_ledwrite *l, struct iovec *part, int parts)
{
	size_t len = 0;

	for (int i = 0; i < parts; i++)
		len += part[i].iov_len;
	l->error = rt_write_all(l->fd, part, parts);
	if (!l->error) {
		l->size += len;
		return 0;
	}
	/* A reader would see the tear by itself; this only saves it the trouble. */
	if (ftruncate(l->fd, (off_t)l->size) && errno == EIO)
		l->error = -EIO;
	return l->error;
}

struct rt_ledwrite *rt_ledwrite_new(int fd)
{
	struct rt_ledwrite *l = calloc(1, sizeof(*l));
	struct rt_ledger_head head = {.version = RT_LEDGER_VERSION, .abi = RT_ABI_VERSION};
	struct iovec part = {&head, sizeof(head)};

	if (!l)
		return NULL;
	l->fd = fd;
	l->zstd = ZSTD_createCCtx();
	if (!l->zstd || ZSTD_isError(ZSTD_CCtx_setParameter(l->zstd, ZSTD_c_compressionLevel, RT_ZSTD_LEVEL))) {
		rt_ledwrite_free(l);
		return NULL;
	}
	memcpy(head.magic, RT_LEDGER_MAGIC, RT_LEDGER_MAGIC_LEN);
	rt_ledwrite_put(l, &part, 1);
	return l;
}

void rt_ledwrite_free(struct rt_ledwrite *l)
{
	if (!l)
		return;
	ZSTD_freeCCtx(l->zstd);
	free(l->packed);
	free(l);
}

/* Compresses into l->packed. Returns how many bytes it became, 0 if it is not worth it. */
static size_t rt_ledwrite_compress(struct rt_ledwrite *l, const void *payload, size_t len)
{
	size_t bound = ZSTD_compressBound(len), n;

	if (bound > l->cap) {
		uint8_t *packed = realloc(l->packed, bound);

		if (!packed)
			return 0;
		l->packed = packed;
		l->cap = bound;
	}
	n = ZSTD_compress2(l->zstd, l->packed, l->cap, payload, len);
	return ZSTD_isError(n) || n >= len ? 0 : n;
}

int rt_ledwrite_block(struct rt_ledwrite *l, enum rt_block_type type, const void *payload, size_t len)
{
	struct rt_block_head head = {.magic = RT_BLOCK_MAGIC, .type = (uint16_t)type, .raw = (uint32_t)len};
	struct iovec part[2] = {{&head, sizeof(head)}, {(void *)(uintptr_t)payload, len}};
	size_t packed;

	if (l->error)
		return l->error;
	if (len > RT_LEDGER_RAW_MAX)
		return l->error = -E2BIG;
	packed = rt_ledwrite_compress(l, payload, len);
	if (packed) {
		head.flags = RT_BLOCK_ZSTD;
		part[1] = (struct iovec){l->packed, packed};
	}
	head.stored = (uint32_t)part[1].iov_len;
	head.number = l->number++;
	head.crc = (uint32_t)crc32(0, part[1].iov_base, (uInt)part[1].iov_len);
	head.head_crc = (uint32_t)crc32(0, (const Bytef *)&head, offsetof(struct rt_block_head, head_crc));
	return rt_ledwrite_put(l, part, head.stored ? 2 : 1);
}

int rt_ledwrite_error(const struct rt_ledwrite *l)
{
	return l->error;
}

uint64_t rt_ledwrite_size(const struct rt_ledwrite *l)
{
	return l->size;
}
