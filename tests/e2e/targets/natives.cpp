// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
// A library with functions of the shapes that native tracing has to tell apart. Each writes down what its own page tables say (smaps_rollup) at its beginning and end,
// into memory that was touched before: the reading changes no page.

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <pthread.h>
#include <stdexcept>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define API extern "C" __attribute__((visibility("default"), noinline))
#define LOCAL __attribute__((noinline))

enum { PAGE = 4096, ENTRIES = 4096 };

struct Entry {
	const char *name;
	long bytes, before, after;
};

static Entry entries[ENTRIES];
static long used, sum_of_bytes;
static char text[2048];
static int rollup = -1;
static int refused = -1;

static long resident()
{
	if (pread(rollup, text, sizeof(text) - 1, 0) <= 0)
		abort();
	const char *at = strstr(text, "Rss:");
	return at ? atol(at + 4) * 1024 : 0;
}

namespace {

// Reads at its construction and at its destruction, also when an exception leaves.
struct Reading {
	Entry *entry;
	Reading(const char *name, long bytes)
	{
		entry = &entries[__atomic_fetch_add(&used, 1, __ATOMIC_RELAXED) % ENTRIES];
		entry->name = name;
		entry->bytes = bytes;
		entry->before = resident();
	}
	~Reading() { entry->after = resident(); }
};

} // namespace

static char *pages(long n, int flags = MAP_PRIVATE)
{
	char *p = (char *)mmap(nullptr, n, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	madvise(p, n, MADV_NOHUGEPAGE);
	for (long at = 0; at < n; at += PAGE)
		((volatile char *)p)[at] = 1;
	return p;
}

namespace {

struct SharedMemory {
	long size;
	void *init_shm(int) LOCAL;
};

void *SharedMemory::init_shm(int)
{
	Reading reading("init_shm", size);
	return pages(size, MAP_SHARED);
}

} // namespace

// Twice with a length that is not a multiple of a page.
API void make_shared(long n, long times)
{
	for (long i = 0; i < times; i++) {
		SharedMemory memory = {n};
		memory.init_shm((int)i);
		asm volatile("" ::: "memory");
	}
}

API void *my_malloc(long n, int)
{
	Reading reading("my_malloc", n);
	return pages(n);
}

API void my_free(void *p, long n, int)
{
	Reading reading("my_free", n);
	munmap(p, n);
}

API void inner_alloc(long n)
{
	Reading reading("inner_alloc", n);
	pages(n);
}

API void outer_alloc(long n)
{
	Reading reading("outer_alloc", n);
	pages(n);
	inner_alloc(2 * n);
	pages(n);
	inner_alloc(3 * n);
	pages(n);
}

// Not probed: pages between and after calls are nobody's.
API void plain(long n)
{
	pages(n);
}

API void throwing(long n)
{
	Reading reading("throwing", n);
	pages(n);
	if (n)
		throw std::runtime_error("as meant");
}

API long catching(long n)
{
	try {
		throwing(n);
	} catch (const std::runtime_error &) {
		pages(n);
		return 1;
	}
	return 0;
}

static sigjmp_buf out;

API void jumping(long n)
{
	{
		Reading reading("jumping", n);
		pages(n);
	}
	siglongjmp(out, 1);
}

API void caught_jump(long n)
{
	if (!sigsetjmp(out, 0))
		jumping(n);
	pages(n);
}

// The throwing part lies apart (parted.cold), which is entered in mid-function.
static LOCAL long parted(long n)
{
	Reading reading("parted", n);
	if (n & 1)
		throw std::runtime_error("the cold part");
	pages(n);
	return n;
}

// Only ever called with one second argument: the compiler makes a copy without it (folded.constprop.0).
static LOCAL char *folded(long n, int flags)
{
	Reading reading("folded", n);
	return pages(n + PAGE, flags);
}

API long clones(long n)
{
	long caught = 0;

	for (long i = 0; i < 4; i++) {
		try {
			sum_of_bytes += parted(n + (i & 1));
		} catch (const std::runtime_error &) {
			caught++;
		}
		if (!folded(n, MAP_SHARED))
			return 0;
	}
	return caught;
}

// Ends the process from inside.
API void leaving(long n)
{
	pages(n);
	_exit(0);
}

// Many: nothing is read, only counted.
API void quick_throw(long n)
{
	sum_of_bytes += n;
	throw n;
}

API long catch_many(long n)
{
	long caught = 0;

	for (long i = 0; i < n; i++) {
		try {
			quick_throw(i & 1023);
		} catch (long) {
			caught++;
		}
	}
	return caught;
}

API void hot_alloc(long n)
{
	char *p = (char *)malloc(n & 255);

	asm volatile("" ::"r"(p) : "memory");
	free(p);
	sum_of_bytes += n;
}

API void many_allocs(long n, long bytes)
{
	for (long i = 0; i < n; i++)
		hot_alloc(bytes + i % 7);
}

// Its first instructions are ones that the kernel steps singly.
asm(".globl stepped\n.type stepped, @function\nstepped:\n\tmov %rdi, %rax\n\tmov %rax, %rcx\n\tmov %rcx, %rdx\n\tmov %rdx, %rax\n\tret\n.size stepped, . - stepped\n");
extern "C" long stepped(long n);

API void many_steps(long n)
{
	for (long i = 0; i < n; i++)
		stepped(i);
}

// Maps 3 pages and a byte, unmaps 2 pages of it, fails once, moves 1 page more: 4 pages and 1 byte ... 2 pages back.
API void mapping()
{
	Reading reading("mapping", 0);
	char *p = (char *)mmap(nullptr, 3 * PAGE + 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	refused = mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED;
	munmap(p + PAGE, 2 * PAGE);
	if (mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED)
		abort();
}

API int was_refused()
{
	return refused;
}

// ---- other stacks ----

static ucontext_t main_context, other_context;
static long other_bytes;

static void other_stack()
{
	pages(other_bytes);
	swapcontext(&other_context, &main_context);
}

static void on_signal(int)
{
	pages(other_bytes);
}

// While it is open the thread runs on a coroutine's stack, which gets `elsewhere` bytes, then goes on.
API void switching(long n, long elsewhere, char *stack, long stack_size)
{
	pages(n);
	other_bytes = elsewhere;
	getcontext(&other_context);
	other_context.uc_stack.ss_sp = stack;
	other_context.uc_stack.ss_size = stack_size;
	other_context.uc_link = nullptr;
	makecontext(&other_context, other_stack, 0);
	swapcontext(&main_context, &other_context);
	pages(n);
}

API void interrupted(long n, long elsewhere, char *stack, long stack_size)
{
	stack_t alternate = {}, before;
	struct sigaction action = {};

	alternate.ss_sp = stack;
	alternate.ss_size = stack_size;
	action.sa_handler = on_signal;
	action.sa_flags = SA_ONSTACK;
	other_bytes = elsewhere;
	pages(n);
	sigaltstack(&alternate, &before);
	sigaction(SIGUSR1, &action, nullptr);
	raise(SIGUSR1);
	sigaltstack(&before, nullptr);
	pages(n);
}

API char *own_stack(long n)
{
	return pages(n);
}

// ---- threads ----

API void threaded(long n)
{
	pages(n);
}

static void *thread_main(void *n)
{
	pages(7 * PAGE); /* its stack is touched as deep as it gets */
	for (int i = 0; i < 5; i++) {
		threaded((long)n);
		pages(7 * PAGE);
	}
	return nullptr;
}

API void run_threads(long n)
{
	pthread_t thread[16];

	for (long i = 0; i < n; i++)
		pthread_create(&thread[i], nullptr, thread_main, (void *)((i + 1) * 10 * PAGE));
	for (long i = 0; i < n; i++)
		pthread_join(thread[i], nullptr);
}

// ---- the target's notes ----

API void open_notes()
{
	if (rollup >= 0)
		close(rollup);
	rollup = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	memset(entries, 0, sizeof(entries));
	for (int i = 0; i < 8; i++)
		resident();
}

API void forget_notes()
{
	used = 0;
	sum_of_bytes = 0;
}

API long write_notes(const char *path)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return -1;
	fprintf(file, "{\"pid\": %d, \"sum\": %ld, \"calls\": [", getpid(), sum_of_bytes);
	for (long i = 0; i < used; i++)
		fprintf(file, "%s\n{\"symbol\": \"%s\", \"bytes\": %ld, \"rss\": %ld}", i ? "," : "", entries[i].name, entries[i].bytes, entries[i].after - entries[i].before);
	fprintf(file, "]}\n");
	return fclose(file);
}
