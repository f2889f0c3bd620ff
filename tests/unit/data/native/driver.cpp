/* SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause) */
/* Calls functions of lib.cpp and shapes.s as often as it is told, for the probes at their first instructions to be counted: driver LIBRARY ADDRESS:COUNT... calls what is at
 * these addresses of the library (hex), which take a pointer and a number. Besides, 3 times 500 calls of init_shm_manager that throw, 2 times 500 that do not. */
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <link.h>
#include <stdexcept>
#include <string>

typedef long (*manager_fn)(const std::string &, long, long);
typedef long (*shape_fn)(void *, long);

int main(int argc, char **argv)
{
	void *lib = dlopen(argv[1], RTLD_NOW);
	link_map *map;
	long thrown = 0;
	static char buffer[256];

	if (!lib || dlinfo(lib, RTLD_DI_LINKMAP, &map))
		return 2;
	auto manager = (manager_fn)dlsym(lib, "_Z16init_shm_managerRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEElll");
	if (!manager)
		manager = (manager_fn)dlsym(lib, "_Z16init_shm_managerRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEll");
	for (int i = 0; i < 500; i++) {
		manager("a", 1, 1);
		manager("b", 1, 2);
		for (int k = 0; k < 3; k++) {
			try {
				manager("c", 1, 101 + k);
			} catch (const std::runtime_error &) {
				thrown++;
			}
		}
	}
	for (int i = 2; i < argc; i++) {
		char *count;
		auto shape = (shape_fn)(map->l_addr + std::strtoul(argv[i], &count, 16));

		for (long n = std::strtol(count + 1, nullptr, 10); n > 0; n--)
			shape(buffer, 1);
	}
	return thrown == 1500 ? 0 : 1;
}
