/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/*
 * rt_abi.h - every byte that crosses from the BPF programs to user space, declared once.
 *
 * The records below are what the kernel side writes into the ring buffer and what the accounting core
 * (src/account.c) reads, in this order of trust: sizes are checked before a field is read, enum values before they
 * are used as an index. User space adds META records of its own to the same sequence, so that the sequence
 * alone is enough to compute a report.
 *
 * Units: pages are base pages (rt_config.page_size), times are CLOCK_MONOTONIC nanoseconds.
 * All records start with struct rt_hdr and are padded to 8 bytes.
 */
#ifndef RT_ABI_H
#define RT_ABI_H

#ifndef __BPF__
#include <assert.h>
#include <stdint.h>
typedef uint8_t __rt_u8;
typedef uint16_t __rt_u16;
typedef uint32_t __rt_u32;
typedef int32_t __rt_s32;
typedef uint64_t __rt_u64;
typedef int64_t __rt_s64;
#else
typedef unsigned char __rt_u8;
typedef unsigned short __rt_u16;
typedef unsigned int __rt_u32;
typedef int __rt_s32;
typedef unsigned long long __rt_u64;
typedef long long __rt_s64;
#define static_assert _Static_assert
#endif

#define RT_ABI_VERSION 1

/* Kinds of resident pages, in the order of the kernel's MM_* counters without swap entries
 * (include/linux/mm_types_task.h: MM_FILEPAGES 0, MM_ANONPAGES 1, MM_SWAPENTS 2, MM_SHMEMPAGES 3). */
enum rt_kind {
	RT_FILE = 0,
	RT_ANON = 1,
	RT_SHMEM = 2,
	RT_KINDS = 3,
};

enum rt_type {
	RT_REC_PROC = 1,	/* a process (an image: one exec) is followed from here on */
	RT_REC_EXIT = 2,	/* its last thread is gone */
	RT_REC_THREAD = 3,	/* a thread was created */
	RT_REC_THREAD_EXIT = 4, /* a thread is gone: its spans close */
	RT_REC_RENAME = 5,	/* a thread's comm changed (prctl, setproctitle) */
	RT_REC_CODE = 6,	/* a code object, once per image and identity */
	RT_REC_NODE = 7,	/* a node of the trie of stacks, once */
	RT_REC_RUN = 8,		/* consecutive RSS changes (or looks) of one thread at one node */
	RT_REC_SNAP = 9,	/* exact counters of an address space, asked for by user space */
	RT_REC_META = 10,	/* from user space: name, executable, ... of an image */
	RT_REC_MAP = 11,	/* a mapping that runs will name, once */
	RT_REC_OPENING = 12,	/* from user space: what an image held when it was attached to, one mapping's name */
	RT_REC_WATCH = 14,	/* a code object that the profile marks `watch` was met: where its count lies; never comes to the core */
	RT_REC_ARGS = 13,	/* while a process is waited for: the command line of an exec; never comes to the core */
	RT_REC_NATIVE = 15,	/* a call of a native function that the profile names is over, or several small ones, added up */
	RT_REC_NATIVE_ENTER = 16, /* one whose rule has a checkpoint of its own begins */
	RT_REC_SITE = 17,	/* from user space: a native function that has a probe; before the first record that names it */
	RT_REC_OOM = 18,	/* the kernel's OOM killer has chosen a process */
};

struct rt_hdr {
	__rt_u16 type; /* enum rt_type */
	__rt_u16 pad;
	__rt_u32 size; /* of the whole record, header included */
	__rt_u64 ts_ns;
	__rt_u32 image; /* which followed image (never reused, > 0; 0: none) */
	__rt_u32 tid;	/* kernel thread id */
};
static_assert(sizeof(struct rt_hdr) == 24, "rt_hdr");

/* How an image came to be followed. */
enum rt_birth {
	RT_BIRTH_ATTACH = 1, /* it ran already */
	RT_BIRTH_EXEC = 2,   /* exec: prev_image is what the process was before (0: not followed before) */
	RT_BIRTH_FORK = 3,   /* fork: parent_image is the parent */
};

enum rt_proc_flags {
	RT_PROC_SHARES_MM = 1, /* CLONE_VM without CLONE_THREAD (vfork): no address space of its own until it execs */
};

struct rt_rec_proc {
	struct rt_hdr h;
	__rt_u32 birth; /* enum rt_birth */
	__rt_u32 flags; /* enum rt_proc_flags */
	__rt_u32 pid;
	__rt_u32 ppid;
	__rt_u32 parent_image; /* followed image of the parent process, 0 if none */
	__rt_u32 prev_image;   /* RT_BIRTH_EXEC: the image that this one replaces, 0 if none */
	__rt_u64 pages[RT_KINDS]; /* exact, at ts_ns: the image's baseline */
	__rt_u64 exe_dev;	  /* super block's s_dev as the kernel encodes it, and inode number, of the executable */
	__rt_u64 exe_ino;
	char comm[16];
};
static_assert(sizeof(struct rt_rec_proc) == 104, "rt_rec_proc");

struct rt_rec_exit {
	struct rt_hdr h;
	__rt_u32 pid;
	__rt_u32 wait_status;	  /* as waitpid's: exit code << 8 | signal */
	__rt_u64 pages[RT_KINDS]; /* running totals before the teardown */
	__rt_u64 exact[RT_KINDS]; /* the counters themselves, summed up there and then; = pages unless have_exact is 0 */
	__rt_u64 peak_pages;	  /* highest total seen */
	__rt_u32 have_exact;
	__rt_u32 pad;
};
static_assert(sizeof(struct rt_rec_exit) == 96, "rt_rec_exit");

enum rt_oom_flags {
	RT_OOM_PAGES = 1, /* pages are known */
};

/* The image may not be known (0): kernels before 6.9 name a thread by its number only. h.tid is the thread that asked for memory, if it is one of the process, else the one
 * that the kernel names. Several of one process are possible: the first one counts. */
struct rt_rec_oom {
	struct rt_hdr h;
	__rt_u32 pid;		  /* 0: not known, it is the process of h.tid */
	__rt_u32 flags;		  /* enum rt_oom_flags */
	__rt_u64 pages[RT_KINDS]; /* running totals at that moment */
};
static_assert(sizeof(struct rt_rec_oom) == 56, "rt_rec_oom");

struct rt_rec_thread { /* THREAD: h.tid is the new thread; THREAD_EXIT: the one that ends, creator 0 */
	struct rt_hdr h;
	__rt_u32 creator; /* tid of the thread that created it; 0: not known (it ran before we attached) */
	__rt_u32 pad;
};
static_assert(sizeof(struct rt_rec_thread) == 32, "rt_rec_thread");

struct rt_rec_rename {
	struct rt_hdr h;
	char comm[16];
};
static_assert(sizeof(struct rt_rec_rename) == 40, "rt_rec_rename");

enum rt_code_flags {
	RT_CODE_NAMED = 1,	  /* its name (and file) is one that the profile names */
	RT_CODE_NAME_CUT = 2,	  /* qualname longer than RT_QUALNAME_MAX bytes */
	RT_CODE_FILE_CUT = 4,	  /* file longer than RT_FILENAME_MAX bytes: only the end is here */
	RT_CODE_TABLE_CUT = 8,	  /* line table longer than RT_LINETABLE_MAX bytes */
	RT_CODE_TABLE_ABSENT = 16, /* line table not asked for (rt_config.want_line_tables) or unreadable */
	RT_CODE_UNREADABLE = 32,  /* names could not be read: strings are empty */
};

#define RT_QUALNAME_MAX 256
#define RT_FILENAME_MAX 512
#define RT_LINETABLE_MAX 8192

/* Followed by qualname_len bytes, file_len bytes, table_len bytes, padding. Strings are the raw characters of the
 * str object: *_width bytes each (1: ASCII or Latin-1, 2: UCS-2, 4: UCS-4; PEP 393), not terminated, hostile. */
struct rt_rec_code {
	struct rt_hdr h;
	__rt_u32 id; /* > 0, never reused */
	__rt_s32 firstlineno;
	__rt_u32 flags; /* enum rt_code_flags */
	__rt_u16 qualname_len; /* bytes */
	__rt_u16 file_len;
	__rt_u16 table_len;
	__rt_u8 qualname_width;
	__rt_u8 file_width;
	__rt_u16 pyversion; /* major << 8 | minor: which line table format */
	__rt_u16 pad;
};
static_assert(sizeof(struct rt_rec_code) == 48, "rt_rec_code");

/* Nodes: 0 is "no stack". A root (parent 0, code 0) stands for an image. */
enum rt_code_special {
	RT_CODE_ROOT = 0,
	RT_CODE_GAP = 0xffffffff, /* frames left out of a stack deeper than the walker keeps */
	RT_CODE_UNKNOWN = 0xfffffffe, /* a frame whose code object could not be read */
};

struct rt_rec_node {
	struct rt_hdr h;
	__rt_u32 id;
	__rt_u32 parent; /* node id of the caller, sent before */
	__rt_u32 code;	 /* rt_rec_code.id or enum rt_code_special */
	__rt_u32 instr;	 /* bytes from the start of the code (co_code_adaptive) */
};
static_assert(sizeof(struct rt_rec_node) == 40, "rt_rec_node");

/* Who changed the counters. Only RT_CAUSE_SELF is the work of the running line. */
enum rt_cause {
	RT_CAUSE_SELF = 0,
	RT_CAUSE_RECLAIM = 1,	 /* kswapd, or a thread in direct reclaim */
	RT_CAUSE_KHUGEPAGED = 2, /* khugepaged collapsing pages */
	RT_CAUSE_REMOTE = 3,	 /* ptrace, process_madvise, migration, KSM, ... from outside */
	RT_CAUSES = 4,
};

enum rt_run_flags {
	RT_RUN_NO_PYTHON = 1,  /* the thread has no Python frame (or the image is no Python): node is 0 */
	RT_RUN_UNREADABLE = 2, /* it should have one, but the stack could not be read: node is 0 */
	RT_RUN_BUSY = 4,       /* the thread's shadow was in use (a sample hit a look): node is 0 */
	RT_RUN_ENTRY = 8,      /* begun by an entry probe: a new call of the innermost frame at first_ns exactly */
	RT_RUN_CUT = 16,       /* continues the thread's last run: cut by age, a sleep, or another thread's phase change */
	RT_RUN_EDGE = 64,      /* begun because the frames that the profile names are others, or elsewhere, than at the thread's last look */
	RT_RUN_EXIT = 128,     /* begun because a call of the code object `code` ended at first_ns exactly: its caller is the innermost frame */
	RT_RUN_MOVED = 256,    /* the stack is another one than at the thread's last look, whatever the profile names (rt_config.every_move) */
	RT_RUN_NOT_YET = 32,   /* the image's interpreter is not found yet (start-up of the interpreter itself) */
};

/* h.ts_ns is the time of the first change or look. */
struct rt_rec_run {
	struct rt_hdr h;
	__rt_u64 last_ns;      /* of the last change or look at this node */
	__rt_u64 prev_seen_ns; /* when this thread was last seen before h.ts_ns (0: never) */
	__rt_u64 before[RT_KINDS]; /* totals of the address space before the first change */
	__rt_u64 max_pages;	   /* highest total (all kinds) seen at a change of this run, or at its begin */
	__rt_s32 delta[RT_KINDS];  /* pages, signed: what this thread changed */
	__rt_u32 gained[RT_KINDS]; /* sum of the positive changes (released = gained - delta) */
	__rt_u32 reused;	   /* of gained: refilled what the address space had released before */
	__rt_u32 minflt;	   /* minor and major faults of the thread up to the begin of its next run */
	__rt_u32 majflt;
	__rt_u32 node;
	__rt_u16 cause; /* enum rt_cause */
	__rt_u16 flags; /* enum rt_run_flags */
	__rt_u32 events;
	__rt_u32 map; /* whose pages: rt_rec_map.id or enum rt_map_id */
	__rt_u32 code; /* RT_RUN_EXIT: rt_rec_code.id; else not to be used */
};
static_assert(sizeof(struct rt_rec_run) == 128, "rt_rec_run");

/* What a mapping is. */
enum rt_map_kind {
	RT_MAP_UNKNOWN = 0,
	RT_MAP_FILE = 1,  /* a file; also its pages that were written to and so became private copies */
	RT_MAP_HEAP = 2,  /* brk */
	RT_MAP_STACK = 3, /* of the main thread */
	RT_MAP_ANON = 4,  /* private anonymous memory: malloc, tensors, threads' stacks */
	RT_MAP_SHMEM = 5, /* tmpfs: /dev/shm, memfd, SYSV; shared anonymous memory */
	RT_MAP_KINDS = 6,
};

/* Mappings that need no record; those with one have higher numbers. */
enum rt_map_id {
	RT_MAP_ID_UNKNOWN = 0,
	RT_MAP_ID_HEAP = 1,
	RT_MAP_ID_STACK = 2,
	RT_MAP_ID_ANON = 3,
	RT_MAP_ID_SHARED = 4, /* shared anonymous: "/dev/zero (deleted)" in /proc/PID/maps, where pinned memory is */
	RT_MAP_ID_FILES = 5,  /* files, tmpfs files, of which there are too many to tell apart */
	RT_MAP_ID_SHMEMS = 6,
	RT_MAP_ID_FIRST = 16,
};

enum rt_map_flags {
	RT_MAP_CUT = 1, /* the outer components of the path are missing */
};

#define RT_MAP_NAME_MAX 768

/* A file or tmpfs file; the same file again under another number is possible. Followed by len bytes: the components of its path, innermost first, each
 * with a NUL behind it; padding. Hostile bytes. */
struct rt_rec_map {
	struct rt_hdr h;
	__rt_u32 id;	/* at least RT_MAP_ID_FIRST, never reused */
	__rt_u32 kind;	/* enum rt_map_kind */
	__rt_u64 dev;	/* as in rt_rec_proc */
	__rt_u64 ino;
	__rt_u32 flags; /* enum rt_map_flags */
	__rt_u32 len;
};
static_assert(sizeof(struct rt_rec_map) == 56, "rt_rec_map");

struct rt_rec_snap {
	struct rt_hdr h;
	__rt_u64 pages[RT_KINDS]; /* running totals */
	__rt_u64 exact[RT_KINDS]; /* counters summed up over all CPUs */
	__rt_u64 peak_pages;
};
static_assert(sizeof(struct rt_rec_snap) == 80, "rt_rec_snap");

enum rt_meta {
	RT_META_TITLE = 1,   /* command line, as /proc/PID/cmdline reads now (NULs are blanks, trailing blanks gone) */
	RT_META_EXE = 2,     /* path of the executable */
	RT_META_PYTHON = 3,  /* "3.11.7"; empty: no Python */
	RT_META_INEXACT = 5, /* what told of calls of this phase (empty: of all) was taken off: those that are open are not told exactly */
	RT_META_MUTED = 4,   /* VLLM_ENABLE_RAM_TRACKING=0 in its environment: no log lines, no phases */
};

/* Followed by len bytes of text, not terminated, padded to 8. Made by user space only. */
struct rt_rec_meta {
	struct rt_hdr h;
	__rt_u32 key; /* enum rt_meta */
	__rt_u32 len;
};
static_assert(sizeof(struct rt_rec_meta) == 32, "rt_rec_meta");

/* Followed by len bytes of name (src/opening.h), padded to 8. Made by user space only, all of an image one after the other, soon after its PROC record. */
struct rt_rec_opening {
	struct rt_hdr h;
	__rt_u32 kind; /* enum rt_kind */
	__rt_u32 len;
	__rt_u64 bytes;
};
static_assert(sizeof(struct rt_rec_opening) == 40, "rt_rec_opening");

#define RT_ARGS_MAX 4096

/* Comes right before the PROC record of its exec. Hostile bytes: each argument with a NUL behind it. */
struct rt_rec_args {
	struct rt_hdr h;
	__rt_u32 pid;
	__rt_u32 len; /* of text; 0 also if it could not be read */
	char text[RT_ARGS_MAX];
};
static_assert(sizeof(struct rt_rec_args) == 32 + RT_ARGS_MAX, "rt_rec_args");

struct rt_rec_watch { /* h.image, h.tid: whose; follows its CODE record */
	struct rt_hdr h;
	__rt_u64 addr; /* of the code object in that image: the count is its first word */
	__rt_u32 code; /* rt_rec_code.id */
	__rt_u32 pid;
	__rt_u32 count; /* then */
	__rt_u32 co_flags;
	__rt_u32 version; /* major << 8 | minor */
	__rt_u32 layout;  /* enum rt_pyoff_flags */
};
static_assert(sizeof(struct rt_rec_watch) == 56, "rt_rec_watch");

/* ---- native functions ---- */

enum rt_native_flags {
	RT_NATIVE_SUM = 1,	  /* calls that were too small or too many for a record each, added up */
	RT_NATIVE_OPEN = 2,	  /* it had not returned when its thread, its image or the run ended */
	RT_NATIVE_CHECKPOINT = 4, /* a NATIVE_ENTER came before it */
	RT_NATIVE_NOT_FOLLOWED = 8, /* calls nested too deeply: counted, but the pages inside are those of the call around them */
	RT_NATIVE_INNER = 16,	    /* made inside of an open call of the same kind and operation, whose sizes contain its own */
};

/* h.ts_ns is when the call (of a sum: the last one) was seen to be over: its thread's stack pointer was above it. Page sums contain the calls nested inside; what the
 * thread changes between its return and that look belongs to nobody, because each change is a look. */
struct rt_rec_native {
	struct rt_hdr h;
	__rt_u64 begin_ns; /* its entry; of a sum the first one's */
	__rt_u64 last_ns;  /* when it was last seen open; begin_ns at least. Of a sum: that of the last call */
	__rt_u64 open_ns;  /* last_ns - begin_ns, added up over calls */
	__rt_u64 bytes;	   /* by the arguments, added up; 0 where the rule says `mapped` */
	__rt_u64 addr;	   /* first argument; of a sum 0 */
	__rt_u64 mapped;   /* bytes that the thread mapped inside, by all its system calls together */
	__rt_u64 unmapped;
	__rt_u64 before[RT_KINDS]; /* totals of the address space when it was seen to be over; of a sum when it was sent */
	__rt_s32 delta[RT_KINDS];  /* pages that the thread changed inside */
	__rt_s32 own;		   /* the same, all kinds, without nested calls */
	__rt_u32 gained;	   /* sum of the positive changes, nested calls included (released = gained - delta) */
	__rt_u32 site;		   /* rt_rec_site.site */
	__rt_u32 node;		   /* stack at the entry, 0: none */
	__rt_u32 calls;
	__rt_u32 flags;		   /* enum rt_native_flags */
	__rt_u32 pad;
};
static_assert(sizeof(struct rt_rec_native) == 144, "rt_rec_native");

struct rt_rec_native_enter { /* h.ts_ns: at the entry exactly */
	struct rt_hdr h;
	__rt_u64 before[RT_KINDS];
	__rt_u32 site;
	__rt_u32 node;
};
static_assert(sizeof(struct rt_rec_native_enter) == 56, "rt_rec_native_enter");

/* Followed by len bytes: symbol, kind, library, label in Chinese and in English, each with a NUL behind it; padded to 8. */
struct rt_rec_site {
	struct rt_hdr h; /* ts_ns, image, tid 0 */
	__rt_u32 site;	 /* > 0, never reused */
	__rt_u32 flags;	 /* enum rt_site_kind */
	__rt_u32 rule;	 /* index into the profile's native rules */
	__rt_u32 len;
};
static_assert(sizeof(struct rt_rec_site) == 40, "rt_rec_site");

enum rt_site_kind {
	RT_SITEK_FREE = 1,   /* gives memory back */
	RT_SITEK_MAPPED = 2, /* its size is what the thread maps (RT_SITEK_FREE: unmaps) inside */
	RT_SITEK_CHECKPOINT = 4,
	RT_SITEK_HOT = 8,
	RT_SITEK_STEPPED = 16, /* each hit of its probe is single-stepped */
	RT_SITEK_ADDR = 32,    /* the first argument is the address */
};

/* What was lost or cut, by cause, one row per CPU in the map `counters`. Append only. */
enum rt_counter {
	RT_C_RSS_EVENTS,	/* RSS changes of followed address spaces */
	RT_C_RSS_ZERO,		/* of them: the change was not visible on this CPU, counters rescanned */
	RT_C_LOOKS,		/* stacks looked at */
	RT_C_LOOK_FRAMES,	/* frames walked in (not: checked) */
	RT_C_LOST_RUN,		/* ring buffer full: a run's charges lost */
	RT_C_LOST_NODE,		/* ring buffer full: a node lost */
	RT_C_LOST_CODE,		/* ring buffer full: a code object's names lost */
	RT_C_LOST_LIFE,		/* ring buffer full: a lifecycle record lost */
	RT_C_STACK_UNREADABLE,	/* an RSS change's stack could not be read: charged to the thread's phase so far */
	RT_C_STACK_DEEP,	/* a stack deeper than the walker keeps: the middle is left out */
	RT_C_SHADOW_BUSY,	/* a look given up because the thread's shadow was in use */
	RT_C_SHADOW_NOMEM,	/* no memory for a thread's shadow */
	RT_C_NO_SLOT,		/* no room for another process or address space */
	RT_C_CODE_REUSED,	/* an address that came back as another code object (normal) */
	RT_C_NODE_EVICTED,	/* node cache full: a node was forgotten and will be sent again (normal) */
	RT_C_ENTRY_HITS,	/* entry probe hits */
	RT_C_SAMPLES,		/* clock samples on followed threads */
	RT_C_SWITCH_LOOKS,	/* looks when a thread left its CPU */
	RT_C_GLANCE_FAILED,	/* looks without an RSS change that came at a moment when the stack was not readable (harmless) */
	RT_C_FRAME_UNKNOWN,	/* a frame whose code object could not be read just then: charged to its caller's phase */
	RT_C_FAULTS,		/* page faults of followed threads seen by a hook on faults, where that is the source */
	RT_C_FAULTS_MISSED,	/* faults that the task's own counters have and the hook did not see: their pages came with the thread's next event */
	RT_C_MAP_UNKNOWN,	/* changes of which the mapping could not be told */
	RT_C_MAP_LOOKUPS,	/* look-ups of an address among an address space's mappings (normal) */
	RT_C_LOST_MAP,		/* ring buffer full: a mapping's name lost, sent again at its next look-up */
	RT_C_MAP_FULL,		/* too many files to tell apart: pages put under "<other files>" */
	RT_C_WAKE_LOOKS,	/* looks when a thread woke another one of its process */
	RT_C_WATCH_HITS,	/* watchpoints on code objects hit */
	RT_C_WATCH_LOST,	/* of them: begins or ends of calls at which the stack could not be looked at: their spans are not exact */
	RT_C_NATIVE_CALLS,	/* calls of native functions of followed threads that were noted */
	RT_C_NATIVE_LOST,	/* such calls that could not be: the thread was being looked at, or there was no memory for it */
	RT_C_NATIVE_DEEP,	/* calls nested too deeply to be followed: counted without the pages inside */
	RT_C_NATIVE_ELSEWHERE,	/* changes of a thread on another stack (alternate signal stack, coroutine) while a call was open: not charged to it */
	RT_C_LOST_NATIVE,	/* ring buffer full: a native call's record lost */
	RT_C_RSS_MET,		/* RSS changes: another CPU's fold lay together with this one's */
	RT_COUNTERS,
};

#endif
