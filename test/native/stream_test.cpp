// The stream: order, a full ring, waiting, stopping with work left, going on after a stop; how errors travel; the caching allocator.
#include "stream.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "ops/binary.h"
#include "ops/creation.h"
#include "ops/index.h"
#include "tensors.h"

using namespace quanto;
using namespace check;

namespace {

constexpr double kQueued = 1e9;  // predicted time of a task that must not run inline
constexpr int kSlots = 4096;

// A task that holds the executor until it is let go.
struct Gate {
  std::atomic<bool> open{false}, reached{false};
  void hold() {
    reached = true;
    while (!open) std::this_thread::yield();
  }
};

void order() {
  Stream stream(false);
  std::vector<int> seen;
  for (int i = 0; i < 20000; ++i) stream.submit(i % 3 ? kQueued : 1, [&seen, i]() noexcept { seen.push_back(i); });
  stream.synchronize();
  CHECK(seen.size() == 20000 && std::is_sorted(seen.begin(), seen.end()), "%zu of 20000 tasks ran, or out of order", seen.size());
}

void inlineWhenIdle() {
  Stream stream(false);
  std::thread::id small, large;
  stream.submit(1, [&]() noexcept { small = std::this_thread::get_id(); });
  CHECK(small == std::this_thread::get_id(), "a small task of an idle stream left its thread");
  stream.submit(kQueued, [&]() noexcept { large = std::this_thread::get_id(); });
  stream.synchronize();
  CHECK(large != std::this_thread::get_id(), "a large task ran on the calling thread");
  Stream synchronous(true);
  synchronous.submit(kQueued, [&]() noexcept { large = std::this_thread::get_id(); });
  CHECK(large == std::this_thread::get_id(), "a synchronous stream used another thread");
}

void fullRing() {
  Stream stream(false);
  Gate gate;
  std::atomic<int> submitted{0};
  int seen = 0, ran = 0;
  std::thread opener([&] {
    while (submitted < kSlots) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // time to submit too many
    seen = submitted;
    gate.open = true;
  });
  stream.submit(kQueued, [&]() noexcept { gate.hold(); });
  ++submitted;
  for (int i = 1; i < 3 * kSlots; ++i) {
    stream.submit(kQueued, [&ran]() noexcept { ++ran; });
    ++submitted;
  }
  opener.join();
  stream.synchronize();
  CHECK(seen == kSlots, "the ring took %d tasks with none done", seen);
  CHECK(ran == 3 * kSlots - 1, "%d of %d tasks ran", ran, 3 * kSlots - 1);
}

// Every closure is destroyed once, run or not.
void stopWithWorkLeft() {
  const auto token = std::make_shared<int>(0);
  Stream stream(false);
  for (int round = 0; round < 3; ++round) {
    Gate gate;
    stream.submit(kQueued, [&gate, token]() noexcept { gate.hold(); });
    for (int i = 0; i < 100; ++i) stream.submit(kQueued, [token]() noexcept { ++*token; });
    while (!gate.reached) std::this_thread::yield();
    std::thread opener([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));  // time for stop() to begin
      gate.open = true;
    });
    stream.stop();
    opener.join();
    CHECK(token.use_count() == 1, "round %d: %ld closures were left by stop()", round, token.use_count() - 1);
    // A stopped stream starts again where it was.
    int ran = 0;
    for (int i = 0; i < 10; ++i) stream.submit(kQueued, [&ran]() noexcept { ++ran; });
    stream.synchronize();
    CHECK(ran == 10, "round %d: %d of 10 tasks ran after stop()", round, ran);
  }
}

// Many short waits, where a lost wake-up would hang. The executor falls asleep between some of them.
void wakeUps() {
  Stream stream(false);
  int ran = 0;
  for (int i = 0; i < 20000; ++i) {
    stream.submit(kQueued, [&ran]() noexcept { ++ran; });
    if (i % 3) stream.synchronize();
    if (i % 1000 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  stream.synchronize();
  CHECK(ran == 20000, "%d of 20000 tasks ran", ran);
}

// A closure larger than a slot lives on the heap.
void largeClosure() {
  Stream stream(false);
  struct Large {
    char bytes[4000] = {};
  } large;
  large.bytes[3999] = 7;
  int got = 0;
  stream.submit(kQueued, [large, &got]() noexcept { got = large.bytes[3999]; });
  stream.synchronize();
  CHECK(got == 7, "a large closure lost its contents");
}

template <class Read>
bool failsWith(ErrorCode code, Read&& read) {
  try {
    read();
  } catch (const Error& error) {
    return error.code == code;
  }
  return false;
}

void errorsTravel() {
  const Tensor table = make<float>({1, 2, 3}, {3}, DType::float32), bad = make<int64_t>({1, 9}, {2}, DType::int64);
  const Tensor failed = ops::indexSelect(table, 0, bad);
  const Tensor derived = ops::binaryScalar(static_cast<int64_t>(BinaryOp::add), failed, 1, false);
  CHECK(failsWith(ErrorCode::INDEX_OUT_OF_RANGE, [&] { bytesOf(failed); }), "an index out of range gives no error");
  CHECK(failsWith(ErrorCode::INDEX_OUT_OF_RANGE, [&] { bytesOf(derived); }), "the error did not travel");
  CHECK(failsWith(ErrorCode::INDEX_OUT_OF_RANGE, [&] { bytesOf(ops::cat({table, failed}, 0)); }), "cat lost the error of its last part");
  CHECK(failsWith(ErrorCode::INDEX_OUT_OF_RANGE, [&] { bytesOf(ops::cat({failed, table}, 0)); }), "cat lost the error of its first part");
  // In place: the destination keeps what it had.
  const Tensor target = make<float>({5, 6}, {2}, DType::float32);
  ops::addInPlace(target, failed);
  CHECK((valuesOf<float>(target) == std::vector<float>{5, 6}), "a failed operand changed the destination of add_");
}

// A device of numbers instead of memory: addresses are counted, nothing is touched.
int64_t issued = 0, taken = 0, limit = 0;
std::mutex fakeMutex;
void* fakeAllocate(int32_t, size_t bytes) {
  std::lock_guard lock(fakeMutex);
  if (taken + static_cast<int64_t>(bytes) > limit) return nullptr;
  taken += static_cast<int64_t>(bytes);
  return reinterpret_cast<void*>(static_cast<intptr_t>(++issued * 64));
}
void fakeRelease(int32_t, void*, size_t bytes) {
  std::lock_guard lock(fakeMutex);
  taken -= static_cast<int64_t>(bytes);
}

Backend fakeBackend() {
  Backend backend{};
  backend.name = "fake";
  backend.allocate = fakeAllocate;
  backend.release = fakeRelease;
  return backend;
}

void sizeClasses() {
  const Backend backend = fakeBackend();
  limit = int64_t{1} << 60;
  Allocator allocator(backend, 0);
  const auto check = [&](size_t bytes) {
    void* data = allocator.allocate(bytes);
    const size_t size = allocator.usedBytes();
    CHECK(data && size >= bytes && size >= 64, "%zu bytes got a block of %zu", bytes, size);
    CHECK(bytes <= 512 ? size < bytes + 64 || bytes == 0 : size - bytes <= bytes / 8, "%zu bytes waste a block of %zu", bytes, size);
    CHECK(size % 64 == 0, "%zu bytes got an odd block of %zu", bytes, size);
    allocator.release(data, bytes);
    CHECK(allocator.usedBytes() == 0, "%zu bytes are in use after release", allocator.usedBytes());
  };
  for (size_t bytes = 0; bytes < 5000; ++bytes) check(bytes);
  for (int exponent = 12; exponent <= 47; ++exponent)
    for (int64_t near : {-1, 0, 1})
      if (exponent < 47 || near <= 0) check((size_t{1} << exponent) + static_cast<size_t>(near));
  CHECK(!allocator.allocate((size_t{1} << 47) + 1), "a block beyond the last class was given");
  allocator.trim();
  CHECK(taken == 0 && allocator.cachedBytes() == 0, "%ld bytes are left after trim", long(taken));
}

void cache() {
  const Backend backend = fakeBackend();
  limit = int64_t{1} << 30;
  Allocator allocator(backend, 0);
  void* first = allocator.allocate(1000);
  allocator.release(first, 1000);
  CHECK(allocator.allocate(1010) == first, "a block of the same class was not used again");
  allocator.release(first, 1010);
  // A full device gets its cached blocks back before the allocation fails.
  void* half = allocator.allocate(size_t{1} << 28);
  allocator.release(half, size_t{1} << 28);
  void* most = allocator.allocate((size_t{1} << 30) - 4096);
  CHECK(most, "the cache was not given up for a large block");
  CHECK(!allocator.allocate(size_t{1} << 20), "a full device gave memory");
  allocator.release(most, (size_t{1} << 30) - 4096);
  CHECK(taken == static_cast<int64_t>(allocator.cachedBytes()), "%ld bytes taken but %zu cached", long(taken), allocator.cachedBytes());
}

void manyThreads() {
  const Backend backend = fakeBackend();
  limit = int64_t{1} << 40;
  {
    Allocator allocator(backend, 0);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&allocator, t] {
        Random random(static_cast<uint64_t>(t));
        std::vector<std::pair<void*, size_t>> held;
        for (int i = 0; i < 3000; ++i) {
          if (held.size() < 20) {
            const size_t bytes = random.bits() % 100000;
            held.emplace_back(allocator.allocate(bytes), bytes);
          } else {
            std::swap(held[random.bits() % held.size()], held.back());
            allocator.release(held.back().first, held.back().second);
            held.pop_back();
          }
          if (i % 500 == 0) allocator.trim();
        }
        for (const auto& [data, bytes] : held) allocator.release(data, bytes);
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(allocator.usedBytes() == 0, "%zu bytes are in use after everything was released", allocator.usedBytes());
  }
  CHECK(taken == 0, "%ld bytes were not given back", long(taken));
}

}  // namespace

int main() {
  order();
  inlineWhenIdle();
  fullRing();
  stopWithWorkLeft();
  wakeUps();
  largeClosure();
  {
    Environment environment(false);
    const Environment::Scope scope(environment);
    errorsTravel();
  }
  sizeClasses();
  cache();
  manyThreads();
  return check::report("stream_test");
}
