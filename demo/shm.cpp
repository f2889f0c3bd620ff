// SPDX-License-Identifier: (LGPL-2.1 OR BSD-2-Clause)
/* Shared memory of ranks, for the demo: a class and two functions with the names of vLLM's in its library for the CPU. They make segments in /dev/shm that are resident at
 * once, and give them back when the process ends. Built into build/demo/vllm/_C.abi3.so by `make demo`. */
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace {

const int RANKS = 2;
const size_t SEGMENT = 6u << 20;

class SHMManager {
public:
	__attribute__((noinline)) void init_shm(int rank);
	__attribute__((noinline)) void destroy_shm();
	~SHMManager() { destroy_shm(); }
	std::string name;

private:
	void *segment[RANKS] = {};
	std::string path(int rank) const { return "/" + name + "_" + std::to_string(rank); }
};

void SHMManager::init_shm(int rank)
{
	int fd = shm_open(path(rank).c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);

	if (fd < 0 || ftruncate(fd, SEGMENT)) {
		perror("demo: shared memory");
		exit(1);
	}
	segment[rank] = mmap(nullptr, SEGMENT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
	close(fd);
	if (segment[rank] == MAP_FAILED) {
		perror("demo: mmap of shared memory");
		segment[rank] = nullptr;
		exit(1);
	}
}

void SHMManager::destroy_shm()
{
	for (int rank = 0; rank < RANKS; rank++) {
		if (!segment[rank])
			continue;
		munmap(segment[rank], SEGMENT);
		shm_unlink(path(rank).c_str());
		segment[rank] = nullptr;
	}
}

std::unique_ptr<SHMManager> manager; // destroyed when the process ends in the ordinary way

}

/* Its own segment. Returns a handle. */
__attribute__((noinline)) long init_shm_manager(const std::string &name, long, long rank, long)
{
	manager = std::make_unique<SHMManager>();
	manager->name = name;
	manager->init_shm(static_cast<int>(rank));
	return 0;
}

/* Those of the other ranks: there are none, so they are made here. */
__attribute__((noinline)) std::string join_shm_manager(long, const std::string &name)
{
	for (int rank = 1; rank < RANKS; rank++)
		manager->init_shm(rank);
	return name;
}

/* What Python calls. */
extern "C" void demo_share(const char *name)
{
	long handle = init_shm_manager(name, RANKS, 0, 1);

	join_shm_manager(handle, name);
}
