/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
#include "ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>
#include <zstd.h>

#include "rt_abi.h"

struct rt_ledger {
	int fd;
	uint64_t size, at;
	uint32_t number; /* of the block at `at` */
	const char *torn;
	uint64_t torn_at;
	ZSTD_DCtx *zstd;
	uint8_t *stored, *raw;
	size_t stored_cap, raw_cap;
	const uint8_t *last; /* what the last block that was read is; NULL: none */
	uint64_t last_at;
};

/* `len` bytes at `at`, all of them. */
static bool rt_ledger_pread(const struct rt_ledger *l, void *to, size_t len, uint64_t at)
{
	uint8_t *out = to;

	while (len) {
		ssize_t n = pread(l->fd, out, len, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		out += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return true;
}

static int rt_ledger_refuse(char *err, size_t errlen, int error, const char *path, const char *why)
{
	snprintf(err, errlen, "%s: %s", path, why);
	return error;
}

static int rt_ledger_unread(char *err, size_t errlen, int number, const char *path)
{
	snprintf(err, errlen, "%s: %s; give a ledger that `ramtrack-bpf record` or --record wrote and you may read", path, strerror(number));
	return -number;
}

static int rt_ledger_check(struct rt_ledger *l, const char *path, char *err, size_t errlen)
{
	struct rt_ledger_head head;
	struct stat st;

	if (fstat(l->fd, &st))
		return rt_ledger_unread(err, errlen, errno, path);
	if (!S_ISREG(st.st_mode))
		return rt_ledger_refuse(err, errlen, -ENOEXEC, path, "no regular file; give a ledger that `ramtrack-bpf record` or --record wrote");
	l->size = (uint64_t)st.st_size;
	if (l->size < sizeof(head) || !rt_ledger_pread(l, &head, sizeof(head), 0) || memcmp(head.magic, RT_LEDGER_MAGIC, RT_LEDGER_MAGIC_LEN))
		return rt_ledger_refuse(err, errlen, -ENOEXEC, path, "no ledger (its first bytes are others); give a file that `ramtrack-bpf record` or --record wrote");
	if (head.version == RT_LEDGER_VERSION && head.abi == RT_ABI_VERSION)
		return 0;
	snprintf(err, errlen, "%s: a ledger of version %u.%u, and this ramtrack-bpf reads %d.%d; read it with the ramtrack-bpf that wrote it", path, head.version, head.abi,
		 RT_LEDGER_VERSION, RT_ABI_VERSION);
	return -EPROTO;
}

int rt_ledger_open(const char *path, struct rt_ledger **out, char *err, size_t errlen)
{
	struct rt_ledger *l = calloc(1, sizeof(*l));
	int status;

	if (!l)
		return rt_ledger_refuse(err, errlen, -ENOMEM, path, "out of memory");
	l->zstd = ZSTD_createDCtx();
	l->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* NONBLOCK: a FIFO is refused, not waited for */
	if (!l->zstd)
		status = rt_ledger_refuse(err, errlen, -ENOMEM, path, "out of memory");
	else if (l->fd < 0)
		status = rt_ledger_unread(err, errlen, errno, path);
	else
		status = rt_ledger_check(l, path, err, errlen);
	if (status) {
		rt_ledger_close(l);
		return status;
	}
	rt_ledger_rewind(l);
	*out = l;
	return 0;
}

void rt_ledger_close(struct rt_ledger *l)
{
	if (!l)
		return;
	if (l->fd >= 0)
		close(l->fd);
	ZSTD_freeDCtx(l->zstd);
	free(l->stored);
	free(l->raw);
	free(l);
}

void rt_ledger_rewind(struct rt_ledger *l)
{
	l->at = sizeof(struct rt_ledger_head);
	l->number = 0;
}

static void rt_ledger_stop(struct rt_ledger *l, uint64_t at, const char *why)
{
	if (l->torn && l->torn_at <= at)
		return;
	l->torn = why;
	l->torn_at = at;
}

void rt_ledger_tear(struct rt_ledger *l, const struct rt_ledblock *block, const char *why)
{
	rt_ledger_stop(l, block->at, why);
}

const char *rt_ledger_torn(const struct rt_ledger *l, uint64_t *at)
{
	*at = l->torn ? l->torn_at : l->size;
	return l->torn;
}

/* What is wrong with a block's header, or NULL. */
static const char *rt_block_fault(const struct rt_ledger *l, const struct rt_block_head *h)
{
	if (h->magic != RT_BLOCK_MAGIC || h->head_crc != (uint32_t)crc32(0, (const Bytef *)h, offsetof(struct rt_block_head, head_crc)))
		return "a block's header is damaged";
	if (h->number != l->number)
		return "a block is missing";
	if (h->flags & ~RT_BLOCK_ZSTD || h->reserved)
		return "a block is of a kind that this version does not know";
	if (h->stored > RT_LEDGER_STORED_MAX || h->raw > RT_LEDGER_RAW_MAX || (!(h->flags & RT_BLOCK_ZSTD) && h->stored != h->raw) ||
	    h->raw / RT_LEDGER_RATIO_MAX > h->stored)
		return "a block's size is impossible";
	if (h->stored > l->size - l->at - sizeof(*h))
		return "the last block is cut short";
	return NULL;
}

int rt_ledger_next(struct rt_ledger *l, struct rt_ledblock *block)
{
	struct rt_block_head h;
	const char *fault;

	if (l->at >= l->size || (l->torn && l->at >= l->torn_at))
		return 0;
	if (l->size - l->at < sizeof(h))
		fault = "the last block is cut short";
	else if (!rt_ledger_pread(l, &h, sizeof(h), l->at))
		fault = "it cannot be read";
	else
		fault = rt_block_fault(l, &h);
	if (fault) {
		rt_ledger_stop(l, l->at, fault);
		return 0;
	}
	*block = (struct rt_ledblock){.type = h.type, .at = l->at, .stored = h.stored, .raw = h.raw};
	l->at += sizeof(h) + h.stored;
	l->number++;
	return 1;
}

static bool rt_ledger_room(uint8_t **buffer, size_t *cap, size_t need)
{
	uint8_t *grown;

	need = need ? need : 1;
	if (need <= *cap)
		return true;
	grown = realloc(*buffer, need);
	if (!grown)
		return false;
	*buffer = grown;
	*cap = need;
	return true;
}

const uint8_t *rt_ledger_read(struct rt_ledger *l, const struct rt_ledblock *block)
{
	struct rt_block_head h;
	size_t n;

	if (l->last && l->last_at == block->at) /* several texts of one block in a row */
		return l->last;
	l->last = NULL;
	/* The header once more: the file may be another one by now. */
	if (!rt_ledger_pread(l, &h, sizeof(h), block->at) || h.stored != block->stored || h.raw != block->raw ||
	    (!(h.flags & RT_BLOCK_ZSTD) && h.stored != h.raw)) {
		rt_ledger_tear(l, block, "it cannot be read");
		return NULL;
	}
	if (!rt_ledger_room(&l->stored, &l->stored_cap, h.stored) || !rt_ledger_room(&l->raw, &l->raw_cap, h.raw)) {
		rt_ledger_tear(l, block, "out of memory");
		return NULL;
	}
	if (!rt_ledger_pread(l, l->stored, h.stored, block->at + sizeof(h))) {
		rt_ledger_tear(l, block, "it cannot be read");
		return NULL;
	}
	if (h.crc != (uint32_t)crc32(0, l->stored, h.stored)) {
		rt_ledger_tear(l, block, "a block is damaged (its checksum is another one)");
		return NULL;
	}
	l->last_at = block->at;
	if (!(h.flags & RT_BLOCK_ZSTD))
		return l->last = l->stored;
	n = ZSTD_decompressDCtx(l->zstd, l->raw, h.raw, l->stored, h.stored);
	if (ZSTD_isError(n) || n != h.raw) {
		rt_ledger_tear(l, block, "a block does not decompress");
		return NULL;
	}
	return l->last = l->raw;
}
