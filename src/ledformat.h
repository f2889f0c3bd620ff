/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * ledformat.h - the ledger file's format: numbers and limits that writer (src/ledwrite.c, src/recorder.c) and reader (src/ledger.c, src/replay.c) share.
 * docs/ledger.md is the description; all integers are little endian.
 *
 *	file:  header (16 bytes), blocks
 *	block: header (32 bytes), `stored` bytes of payload
 */
#ifndef RT_LEDFORMAT_H
#define RT_LEDFORMAT_H

#include <assert.h>
#include <stdint.h>

#define RT_LEDGER_VERSION 1 /* of blocks and items; what a record is says RT_ABI_VERSION */

/* The first byte is no text, CR LF and the 0x1a tell of transfers that meddle with text. */
#define RT_LEDGER_MAGIC "\x89RTL\r\n\x1a\n"
#define RT_LEDGER_MAGIC_LEN 8

struct rt_ledger_head {
	uint8_t magic[RT_LEDGER_MAGIC_LEN];
	uint32_t version; /* RT_LEDGER_VERSION */
	uint32_t abi;	  /* RT_ABI_VERSION of the records */
};
static_assert(sizeof(struct rt_ledger_head) == 16, "rt_ledger_head");

#define RT_BLOCK_MAGIC 0x6b424c52u /* "RLBk" */

enum rt_block_type {
	RT_BLOCK_FACTS = 1,  /* JSON: what the run was set up with; the first block */
	RT_BLOCK_START = 2,  /* JSON: the start object of the NDJSON */
	RT_BLOCK_STREAM = 3, /* items (enum rt_item) */
	RT_BLOCK_TEXTS = 4,  /* source texts, numbered from 0 on over the whole file: length, bytes */
	RT_BLOCK_KEPT = 5,   /* which text an image sees under a name: image, text, length, name */
	RT_BLOCK_BUILDS = 6, /* JSON: build ids of mapped files */
	RT_BLOCK_END = 7,    /* JSON: when the run ended, counters, own cost; the last block */
	RT_BLOCK_PROFILE = 8, /* the phase profile: length of its path, path, text */
};

enum rt_block_flags {
	RT_BLOCK_ZSTD = 1, /* the payload is one zstd frame */
};

struct rt_block_head {
	uint32_t magic;	 /* RT_BLOCK_MAGIC */
	uint16_t type;	 /* enum rt_block_type; unknown ones are skipped */
	uint16_t flags;	 /* enum rt_block_flags */
	uint32_t stored; /* bytes of payload in the file */
	uint32_t raw;	 /* and decompressed */
	uint32_t number; /* 0, 1, 2, ... */
	uint32_t reserved; /* 0 */
	uint32_t crc;	 /* CRC-32 (zlib's, IEEE 802.3) of the payload as stored */
	uint32_t head_crc; /* and of the 28 bytes before this */
};
static_assert(sizeof(struct rt_block_head) == 32, "rt_block_head");

/* What stands in a block of items: one byte, the kind in its lower four bits. Numbers are LEB128, signed ones zigzag. */
enum rt_item {
	RT_ITEM_RECORD = 1,  /* a record of include/rt_abi.h, packed (src/ledpack.h) */
	RT_ITEM_RAW = 2,     /* one that does not pack: length, bytes */
	RT_ITEM_CONTENT = 3, /* names and line table of code objects, numbered from 0 on over the whole file: length, bytes */
	RT_ITEM_ADVANCE = 4, /* time has come to: ns since the last one in this block */
	RT_ITEM_FORGET = 5,  /* nodes, code objects below: node, code */
	RT_ITEM_SOURCE = 6,  /* what reading a source gave when the next record was taken: image, text + 1 (0: it could not be read), length, name */
	RT_ITEM_COUNTERS = 7, /* the kernel side's counters so far: how many, values */
};

#define RT_LEDGER_RAW_MAX (20u << 20)	 /* bytes of a block, decompressed: a source of 16 MiB is the longest thing */
#define RT_LEDGER_STORED_MAX (RT_LEDGER_RAW_MAX + (1u << 17)) /* what zstd can make of that */
#define RT_LEDGER_RATIO_MAX 60000u	 /* raw / stored: zstd does not get beyond 32,768 or so; no bound by itself */
#define RT_LEDGER_JSON_MAX (4u << 20)	 /* bytes of a JSON block */
#define RT_LEDGER_TEXTS_MAX 65536u	 /* source texts */
#define RT_LEDGER_KEPT_MAX 262144u	 /* (image, name) */
#define RT_LEDGER_NAME_MAX 4096u	 /* bytes of a name */
#define RT_LEDGER_NAMES_MAX (64u << 20)	 /* bytes of all names */
#define RT_LEDGER_READ_MAX (1ull << 30) /* bytes of texts that one report looks into, the same ones again counted again */
#define RT_LEDGER_FORGETS_MAX 65536u	 /* forgettings; a run has one in three seconds at most, and each goes through all nodes */
#define RT_LEDGER_CONTENTS_MAX (1u << 20) /* contents of code objects */
#define RT_LEDGER_CONTENT_BYTES (256u << 20) /* of all of them */

#endif
