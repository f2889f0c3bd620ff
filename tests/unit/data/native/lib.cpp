/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* A library with the shapes that native tracing meets: an anonymous namespace, exceptions, copies that GCC makes, aliases, an ifunc, thunks, templates, operators. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#define NOINLINE __attribute__((noinline))

static void *volatile sink;
static volatile int zero;

namespace {
struct SHMManager {
	std::string name;
	std::vector<void *> parts;

	NOINLINE void init_shm(int rank)
	{
		if (rank > 100)
			throw std::runtime_error("no such rank " + std::to_string(rank));
		parts.push_back(malloc(4096 + (size_t)rank));
	}

	NOINLINE void destroy_shm()
	{
		for (void *p : parts)
			free(p);
		parts.clear();
	}
};

SHMManager manager;

/* Called with one constant only: a copy without this argument is made. */
NOINLINE void *pool_grow(size_t bytes, int kind, const char *unused)
{
	char *p = (char *)malloc(bytes);

	for (size_t i = 0; i < bytes; i += 64)
		p[i] = (char)(kind * 3 + (int)i);
	return p;
}

NOINLINE int by_reference(const int *a, int b)
{
	sink = malloc((size_t)(*a + b));
	return *a * b;
}
}

/* An early end that is worth inlining, and a body that is not: GCC splits it. */
static int flush_cache(int *state, int n)
{
	if (__builtin_expect(!*state, 1))
		return 0;
	for (int i = 0; i < n; i++) {
		sink = malloc((size_t)i + 1);
		std::printf("%d %p\n", *state, sink);
		free(sink);
		if (std::getenv("NEVER_SET"))
			throw std::bad_alloc();
	}
	*state = 0;
	return n;
}

int use_cache_one(int *state)
{
	return flush_cache(state, 3) + 1;
}

int use_cache_two(int *state)
{
	return flush_cache(state, zero) + 2;
}

long init_shm_manager(const std::string &name, long size, long rank)
{
	manager.name = name;
	for (long i = 0; i < size; i++)
		manager.init_shm((int)(rank + i));
	return size;
}

std::string join_shm_manager(long handle, const std::string &name)
{
	manager.destroy_shm();
	return name + std::to_string(handle);
}

extern "C" {
void *my_malloc(ssize_t size, int device, void *stream)
{
	return size && !device ? malloc((size_t)size) : stream;
}

void my_free(void *ptr, ssize_t size, int device, void *stream)
{
	if (zero == device)
		free(ptr);
	sink = stream;
}

void *my_malloc_alias(ssize_t size, int device, void *stream) __attribute__((alias("my_malloc")));

int my_malloc_data = 7;
__thread int my_malloc_tls = 8;

static void *malloc_a(size_t n)
{
	return malloc(n);
}

typedef void *(*malloc_fn)(size_t);

malloc_fn my_malloc_choose()
{
	return malloc_a;
}

void *my_malloc_ifunc(size_t n) __attribute__((ifunc("my_malloc_choose")));
}

namespace pool {
struct Base {
	virtual ~Base() {}
	virtual void *get(size_t n) { return malloc(n); }
};
struct Other {
	virtual ~Other() {}
	virtual void put(void *p) { free(p); }
};
struct Both : Base, Other {
	void *get(size_t n) override { return calloc(1, n); }
	void put(void *p) override { free(p); sink = p; }
	void operator()(int n) { sink = malloc((size_t)n); }
	bool operator<(const Both &) const { return sink != nullptr; }
	operator bool() const { return zero; }
	void *operator new(size_t n) { return malloc(n); }
	void operator delete(void *p) { free(p); }
};

template <typename T> NOINLINE T *take(size_t n)
{
	return (T *)malloc(n * sizeof(T));
}

template int *take<int>(size_t);
template std::string *take<std::string>(size_t);
Both both;

NOINLINE void for_each(int n)
{
	auto one = [](int i) NOINLINE { sink = malloc((size_t)i); };

	for (int i = 0; i < n; i++)
		one(i);
}

Base *make()
{
	return new Both;
}

bool less(const Both &a, const Both &b)
{
	a.operator bool();
	const_cast<Both &>(a)(3);
	return a < b;
}
}

/* A loop that begins with the function, for a site that a jump leads back to. */
extern "C" NOINLINE size_t spin(const char *p, size_t n)
{
	do {
		sink = (void *)p;
		n += (size_t)*p;
	} while (--n);
	return n;
}

int main_part(int argc, char **argv)
{
	sink = pool_grow((size_t)argc, 5, "a");
	sink = pool_grow((size_t)argc * 2, 5, "b");
	return by_reference(&argc, 4) + by_reference(&argc, zero) + (int)std::strlen(argv[0]);
}
