// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
// throw.cpp - throws through several frames and catches, many times; a program, or a library for ctypes (catch_throws).
// A tracer that replaced return addresses on this stack would end the process in std::terminate.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

extern "C" {
__attribute__((noinline)) int my_malloc_like(int depth, char *memory, size_t size)
{
	std::string owned(40, 'x'); // has a destructor: each frame is visited while the stack unwinds
	memset(memory, depth, size);
	if (depth == 0)
		throw std::runtime_error(owned);
	int below = my_malloc_like(depth - 1, memory, size);
	return below + static_cast<int>(owned.size());
}

int catch_throws(int count)
{
	const size_t size = 1 << 18;
	int caught = 0;

	for (int i = 0; i < count; i++) {
		char *memory = static_cast<char *>(malloc(size));
		if (memory == nullptr)
			return -1;
		try {
			my_malloc_like(i % 9, memory, size);
		} catch (const std::runtime_error &) {
			caught++;
		}
		free(memory);
	}
	return caught;
}
}

#ifndef AS_LIBRARY
int main()
{
	int caught = catch_throws(400);

	printf("caught %d\n", caught);
	return caught == 400 ? 0 : 1;
}
#endif
