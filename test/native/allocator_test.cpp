// The caching allocator over a device that counts: size classes, reuse, the bound of the cache, running out.
#include "allocator.h"

#include <algorithm>
#include <cstdlib>
#include <thread>
#include <vector>

#include "check.h"

using namespace quanto;

namespace {

constexpr size_t MiB = size_t{1} << 20;

// What the device has given; a block past `limit` bytes in all is refused.
std::atomic<size_t> given{0}, limit{SIZE_MAX}, lastSize{0}, requests{0};

Backend countingDevice() {
  Backend backend{};
  backend.allocate = [](int32_t, size_t bytes) -> void* {
    ++requests;
    lastSize = bytes;
    if (given + bytes > limit) return nullptr;
    given += bytes;
    return std::malloc(64);  // nobody writes to the blocks
  };
  backend.release = [](int32_t, void* data, size_t bytes) {
    given -= bytes;
    std::free(data);
  };
  return backend;
}
const Backend kDevice = countingDevice();

void testClasses() {
  Allocator allocator(kDevice, 0);
  std::vector<size_t> sizes = {0, 1, 63, 64, 65, 448, 511, 512, 513, 575, 576, 577, 1000, 1023, 1024, 1025, 1152, 1153};
  for (int bit = 11; bit < 47; ++bit)
    for (const size_t near : {size_t{0}, size_t{1}, size_t{77}}) {
      sizes.push_back((size_t{1} << bit) - near);
      sizes.push_back((size_t{1} << bit) + near);
      sizes.push_back((size_t{5} << (bit - 2)) + near);
    }
  sizes.push_back(size_t{1} << 47);
  for (const size_t size : sizes) {
    void* block = allocator.allocate(size);
    const size_t got = lastSize;
    CHECK(block && got >= size && got <= std::max(size + 64, size + size / 8 + 1), "%zu bytes asked, %zu got", size, got);
    CHECK(allocator.usedBytes() == got, "%zu bytes used of %zu", allocator.usedBytes(), got);
    allocator.release(block, size);
    allocator.trim();
  }
  CHECK(allocator.allocate((size_t{1} << 47) + 1) == nullptr, "more than the classes hold");
  CHECK(given == 0, "%zu bytes not given back", given.load());
}

void testReuse() {
  Allocator allocator(kDevice, 0);
  void* first = allocator.allocate(1000);
  allocator.release(first, 1000);
  CHECK(allocator.cachedBytes() >= 1000 && allocator.usedBytes() == 0, "%zu bytes cached", allocator.cachedBytes());
  const size_t before = requests;
  CHECK(allocator.allocate(990) == first && requests == before, "a cached block of the class was not reused");
  CHECK(allocator.cachedBytes() == 0, "%zu bytes cached", allocator.cachedBytes());
  allocator.release(first, 990);
  allocator.trim();
  CHECK(allocator.cachedBytes() == 0 && given == 0, "%zu bytes cached, %zu given", allocator.cachedBytes(), given.load());
}

void testBound() {
  Allocator allocator(kDevice, 0);
  std::vector<void*> blocks(1000);
  for (void*& block : blocks) block = allocator.allocate(MiB);
  for (void* block : blocks) {
    allocator.release(block, MiB);
    CHECK(allocator.cachedBytes() <= std::max(256 * MiB, 500 * MiB), "%zu MiB cached", allocator.cachedBytes() / MiB);
  }
  CHECK(given == allocator.cachedBytes(), "%zu bytes given, %zu cached", given.load(), allocator.cachedBytes());
}

// The cache is given back before a request is refused.
void testRunningOut() {
  Allocator allocator(kDevice, 0);
  limit = 100 * MiB;
  void* first = allocator.allocate(60 * MiB);
  CHECK(allocator.allocate(60 * MiB) == nullptr, "more than there is");
  allocator.release(first, 60 * MiB);
  CHECK(allocator.cachedBytes() >= 60 * MiB, "nothing cached");
  void* other = allocator.allocate(80 * MiB);
  CHECK(other != nullptr && allocator.cachedBytes() == 0, "the cache was not given back");
  allocator.release(other, 80 * MiB);
  limit = SIZE_MAX;
}

void testThreads() {
  Allocator allocator(kDevice, 0);
  std::vector<std::thread> threads;
  for (uint64_t seed = 1; seed <= 4; ++seed)
    threads.emplace_back([&allocator, seed] {
      check::Random random(seed);
      std::vector<std::pair<void*, size_t>> held;
      for (int i = 0; i < 20000; ++i) {
        if (held.size() < 50 && random.bits() % 2) {
          const size_t size = random.bits() % 5000;
          held.emplace_back(allocator.allocate(size), size);
        } else if (!held.empty()) {
          std::swap(held[random.bits() % held.size()], held.back());
          allocator.release(held.back().first, held.back().second);
          held.pop_back();
        }
        if (i % 5000 == 0) allocator.trim();
      }
      for (const auto& [block, size] : held) allocator.release(block, size);
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(allocator.usedBytes() == 0 && allocator.cachedBytes() == given, "%zu used, %zu cached, %zu given", allocator.usedBytes(),
        allocator.cachedBytes(), given.load());
}

}  // namespace

int main() {
  testClasses();
  testReuse();
  testBound();
  testRunningOut();
  testThreads();
  CHECK(given == 0, "%zu bytes left when the allocators were gone", given.load());
  return check::report("allocator_test");
}
