// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* A stand-in for NVIDIA's driver library (libcuda.so.1) and, with -DRT_RUNTIME, for the runtime library (libcudart) that calls it. There is no GPU behind
 * either: they do what a process can see of the real ones, so that allocators run.
 *
 *  - Names and arguments are those of cuda.h and cuda_runtime_api.h of CUDA 13; where the header renames a function (cuMemHostRegister_v2), so does this.
 *  - Device memory is a book: reserved address space without a page, handles, what is mapped where. Calls that do not fit each other are refused with the
 *    driver's own error numbers and counted, so that a test sees whether an allocator used it right (standin_mistakes, standin_alive).
 *  - Pinned memory is a shared mapping of /dev/zero with all its pages resident, which is how the real driver's shows in /proc/PID/maps.
 *  - The runtime allocates through cuMemHostAlloc, also for cudaMallocHost: the names that libcudart.so.12 and .13 look up in the driver. */
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CUDA_SUCCESS, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_OUT_OF_MEMORY };

int cuMemHostAlloc(void **pp, size_t bytesize, unsigned int flags);
int cuMemFreeHost(void *p);
int cuMemHostRegister_v2(void *p, size_t bytesize, unsigned int flags);
int cuMemHostUnregister(void *p);

#ifdef RT_RUNTIME

int cudaHostAlloc(void **host, size_t size, unsigned int flags)
{
	return cuMemHostAlloc(host, size, flags);
}

int cudaMallocHost(void **ptr, size_t size)
{
	return cuMemHostAlloc(ptr, size, 0);
}

int cudaFreeHost(void *ptr)
{
	return ptr ? cuMemFreeHost(ptr) : CUDA_SUCCESS;
}

int cudaHostRegister(void *ptr, size_t size, unsigned int flags)
{
	return cuMemHostRegister_v2(ptr, size, flags);
}

int cudaHostUnregister(void *ptr)
{
	return cuMemHostUnregister(ptr);
}

#else

#define GRANULE (2ul << 20)
#define SLOTS 512

struct location {
	int type; /* 1: device */
	int id;
};

/* The beginning of CUmemAllocationProp. */
struct prop {
	int type; /* 1: pinned, the only one that may be asked for */
	int handle_types;
	struct location location;
};

struct access {
	struct location location;
	int flags; /* 3: read and write */
};

enum use { FREE, RESERVED, HANDLE, PINNED, REGISTERED };

/* One entry of the book: `at` is an address, or a handle's number. */
struct entry {
	enum use use;
	unsigned long at, size;
	unsigned long holds; /* RESERVED: the handle mapped there; HANDLE: where it is mapped */
};

static struct entry book[SLOTS];
static unsigned long mistakes;
static unsigned long last_handle = 0x1000;
static void *current;
static char primary; /* its address is the context */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct entry *find(enum use use, unsigned long at)
{
	for (int i = 0; i < SLOTS; i++)
		if (book[i].use == use && (use == FREE || book[i].at == at))
			return &book[i];
	return NULL;
}

static int refuse(int error)
{
	__atomic_fetch_add(&mistakes, 1, __ATOMIC_RELAXED);
	return error;
}

static int enter(enum use use, unsigned long at, unsigned long size)
{
	struct entry *e = find(FREE, 0);

	if (!e)
		return refuse(CUDA_ERROR_OUT_OF_MEMORY);
	*e = (struct entry){ .use = use, .at = at, .size = size };
	return CUDA_SUCCESS;
}

/* Calls that were refused so far. */
unsigned long standin_mistakes(void)
{
	return mistakes;
}

/* Reservations, handles and pinned blocks that were not given back. */
unsigned long standin_alive(void)
{
	unsigned long n = 0;

	for (int i = 0; i < SLOTS; i++)
		n += book[i].use != FREE;
	return n;
}

int cuCtxGetCurrent(void **context)
{
	*context = current;
	return CUDA_SUCCESS;
}

int cuCtxSetCurrent(void *context)
{
	if (context && context != &primary)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	current = context;
	return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device)
{
	if (device)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	*context = &primary;
	return CUDA_SUCCESS;
}

/* Every capability that is asked for is there. */
int cuDeviceGetAttribute(int *value, int attribute, int device)
{
	(void)attribute;
	if (device)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	*value = 1;
	return CUDA_SUCCESS;
}

int cuGetErrorString(int error, const char **text)
{
	static const char *const texts[] = { "no error", "invalid argument", "out of memory" };

	if (error < 0 || error > CUDA_ERROR_OUT_OF_MEMORY)
		return CUDA_ERROR_INVALID_VALUE;
	*text = texts[error];
	return CUDA_SUCCESS;
}

int cuMemGetAllocationGranularity(size_t *granularity, const struct prop *prop, int option)
{
	(void)option;
	if (prop->type != 1 || prop->location.type != 1 || prop->location.id)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	*granularity = GRANULE;
	return CUDA_SUCCESS;
}

int cuMemAddressReserve(unsigned long *ptr, size_t size, size_t alignment, unsigned long addr, unsigned long long flags)
{
	void *at;
	int error;

	if (!size || size % GRANULE || alignment & (alignment - 1) || addr || flags)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	at = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return refuse(CUDA_ERROR_OUT_OF_MEMORY);
	pthread_mutex_lock(&lock);
	error = enter(RESERVED, (unsigned long)at, size);
	pthread_mutex_unlock(&lock);
	if (error)
		munmap(at, size);
	else
		*ptr = (unsigned long)at;
	return error;
}

int cuMemAddressFree(unsigned long ptr, size_t size)
{
	int error = CUDA_SUCCESS;
	struct entry *e;

	pthread_mutex_lock(&lock);
	e = find(RESERVED, ptr);
	if (!e || e->size != size || e->holds) {
		error = refuse(CUDA_ERROR_INVALID_VALUE);
	} else {
		munmap((void *)ptr, size);
		memset(e, 0, sizeof(*e));
	}
	pthread_mutex_unlock(&lock);
	return error;
}

int cuMemCreate(unsigned long long *handle, size_t size, const struct prop *prop, unsigned long long flags)
{
	int error;

	if (!size || size % GRANULE || prop->type != 1 || prop->location.type != 1 || prop->location.id || flags)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	pthread_mutex_lock(&lock);
	error = enter(HANDLE, ++last_handle, size);
	if (!error)
		*handle = last_handle;
	pthread_mutex_unlock(&lock);
	return error;
}

int cuMemRelease(unsigned long long handle)
{
	int error = CUDA_SUCCESS;
	struct entry *e;

	pthread_mutex_lock(&lock);
	e = find(HANDLE, handle);
	if (!e || e->holds)
		error = refuse(CUDA_ERROR_INVALID_VALUE);
	else
		memset(e, 0, sizeof(*e));
	pthread_mutex_unlock(&lock);
	return error;
}

int cuMemMap(unsigned long ptr, size_t size, size_t offset, unsigned long long handle, unsigned long long flags)
{
	struct entry *where, *what;
	int error = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	where = find(RESERVED, ptr);
	what = find(HANDLE, handle);
	if (!where || !what || where->holds || what->holds || where->size != size || what->size != size || offset || flags) {
		error = refuse(CUDA_ERROR_INVALID_VALUE);
	} else {
		where->holds = handle;
		what->holds = ptr;
	}
	pthread_mutex_unlock(&lock);
	return error;
}

int cuMemUnmap(unsigned long ptr, size_t size)
{
	struct entry *where, *what;
	int error = CUDA_SUCCESS;

	pthread_mutex_lock(&lock);
	where = find(RESERVED, ptr);
	what = where && where->holds ? find(HANDLE, where->holds) : NULL;
	if (!what || where->size != size)
		error = refuse(CUDA_ERROR_INVALID_VALUE);
	else
		where->holds = what->holds = 0;
	pthread_mutex_unlock(&lock);
	return error;
}

int cuMemSetAccess(unsigned long ptr, size_t size, const struct access *access, size_t count)
{
	int error = CUDA_SUCCESS;
	struct entry *e;

	pthread_mutex_lock(&lock);
	e = find(RESERVED, ptr);
	if (!e || !e->holds || e->size != size || count != 1 || access->flags != 3)
		error = refuse(CUDA_ERROR_INVALID_VALUE);
	pthread_mutex_unlock(&lock);
	return error;
}

static size_t whole_pages(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

static int pin(void **pp, size_t bytesize)
{
	void *at;
	int error, fd;

	if (!bytesize || bytesize > 1ul << 40)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return refuse(CUDA_ERROR_OUT_OF_MEMORY);
	at = mmap(NULL, whole_pages(bytesize), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return refuse(CUDA_ERROR_OUT_OF_MEMORY);
	pthread_mutex_lock(&lock);
	error = enter(PINNED, (unsigned long)at, whole_pages(bytesize));
	pthread_mutex_unlock(&lock);
	if (error)
		munmap(at, whole_pages(bytesize));
	else
		*pp = at;
	return error;
}

int cuMemHostAlloc(void **pp, size_t bytesize, unsigned int flags)
{
	if (flags & ~7u)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	return pin(pp, bytesize);
}

int cuMemAllocHost_v2(void **pp, size_t bytesize)
{
	return pin(pp, bytesize);
}

/* As it was when sizes had 32 bits; the driver still has it for old programs. */
int cuMemAllocHost(void **pp, unsigned int bytesize)
{
	return pin(pp, bytesize);
}

int cuMemFreeHost(void *p)
{
	int error = CUDA_SUCCESS;
	struct entry *e;

	pthread_mutex_lock(&lock);
	e = find(PINNED, (unsigned long)p);
	if (!e) {
		error = refuse(CUDA_ERROR_INVALID_VALUE);
	} else {
		munmap(p, e->size);
		memset(e, 0, sizeof(*e));
	}
	pthread_mutex_unlock(&lock);
	return error;
}

/* Pinning makes every page present, as the kernel's pin_user_pages does: by a fault that writes what is there. */
static int pin_present(void *p, size_t bytesize)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int error;

	pthread_mutex_lock(&lock);
	error = find(REGISTERED, (unsigned long)p) ? refuse(CUDA_ERROR_INVALID_VALUE) : enter(REGISTERED, (unsigned long)p, bytesize);
	pthread_mutex_unlock(&lock);
	if (error)
		return error;
	for (size_t at = 0; at < bytesize; at += page)
		__atomic_fetch_add((char *)p + at, 0, __ATOMIC_RELAXED);
	return CUDA_SUCCESS;
}

int cuMemHostRegister_v2(void *p, size_t bytesize, unsigned int flags)
{
	if (!bytesize || flags & ~15u)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	return pin_present(p, bytesize);
}

int cuMemHostRegister(void *p, size_t bytesize, unsigned int flags)
{
	if (!bytesize || flags & ~15u)
		return refuse(CUDA_ERROR_INVALID_VALUE);
	return pin_present(p, bytesize);
}

int cuMemHostUnregister(void *p)
{
	int error = CUDA_SUCCESS;
	struct entry *e;

	pthread_mutex_lock(&lock);
	e = find(REGISTERED, (unsigned long)p);
	if (!e)
		error = refuse(CUDA_ERROR_INVALID_VALUE);
	else
		memset(e, 0, sizeof(*e));
	pthread_mutex_unlock(&lock);
	return error;
}

#endif
