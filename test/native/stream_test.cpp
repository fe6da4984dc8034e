// The stream alone: order, sleeping and waking, backpressure, and stopping in the middle of work.
#include "stream.h"

#include <array>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "check.h"

using namespace quanto;

namespace {

constexpr double kQueued = 1e9, kInline = 0;  // predicted nanoseconds that put a task in the queue, or may run it at once

// Tasks of both kinds, small and too large for a slot, with pauses in which the executor falls asleep.
void testOrder() {
  Stream stream(false);
  check::Random random(1);
  std::vector<uint32_t> seen;
  uint32_t issued = 0;
  for (int round = 0; round < 3000; ++round) {
    const int burst = 1 + static_cast<int>(random.bits() % 20);
    for (int i = 0; i < burst; ++i) {
      const uint32_t number = issued++;
      if (random.bits() % 4 == 0) {
        const std::array<char, 2000> large{};
        stream.submit(kQueued, [&seen, number, large]() noexcept { seen.push_back(number + static_cast<uint32_t>(large[7])); });
      } else {
        stream.submit(random.bits() % 2 ? kQueued : kInline, [&seen, number]() noexcept { seen.push_back(number); });
      }
    }
    if (random.bits() % 8 == 0) {
      stream.synchronize();
      CHECK(seen.size() == issued, "round %d: %zu of %u tasks ran before synchronize returned", round, seen.size(), issued);
    }
    if (random.bits() % 64 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random.bits() % 200));
  }
  stream.synchronize();
  CHECK(stream.idle(), "busy after synchronize");
  bool ordered = seen.size() == issued;
  for (uint32_t i = 0; ordered && i < issued; ++i) ordered = seen[i] == i;
  CHECK(ordered, "%zu of %u tasks ran, or out of order", seen.size(), issued);
}

// A wake-up that gets lost shows as a hang: a task that ends at about the moment the caller falls asleep, many times.
void testWaking() {
  Stream stream(false);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < 20000; ++i) {
    // From none to about 150 us, around the 50 us of spinning.
    const int turns = static_cast<int>(i % 64) * 100;
    stream.submit(kQueued, [&sum, i, turns]() noexcept {
      std::atomic<int> turn{0};
      while (turn.fetch_add(1, std::memory_order_relaxed) < turns) {
      }
      sum += i;
    });
    stream.synchronize();
  }
  CHECK(sum == 20000ull * 19999 / 2, "sum %llu", static_cast<unsigned long long>(sum));
}

void testBackpressure() {
  Stream stream(false);
  std::atomic<bool> go{false};
  uint32_t ran = 0;
  stream.submit(kQueued, [&go]() noexcept { go.wait(false); });
  std::thread opener([&go] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    go = true;
    go.notify_one();
  });
  for (int i = 0; i < 20000; ++i) stream.submit(kQueued, [&ran]() noexcept { ++ran; });
  stream.synchronize();
  opener.join();
  CHECK(ran == 20000, "%u tasks ran", ran);
}

struct Counts {
  std::atomic<int> alive{0}, ran{0};
};
// Counts its copies, so that a closure that is dropped twice or never shows.
class Witness {
 public:
  explicit Witness(Counts& counts) : counts_(&counts) { ++counts_->alive; }
  Witness(const Witness& other) : counts_(other.counts_) { ++counts_->alive; }
  Witness& operator=(const Witness&) = delete;
  ~Witness() { --counts_->alive; }
  void run() const { ++counts_->ran; }

 private:
  Counts* counts_;
};

void testStopping() {
  for (int round = 0; round < 50; ++round) {
    Counts counts;
    {
      Stream stream(false);
      for (int i = 0; i < round * 20; ++i) stream.submit(kQueued, [witness = Witness(counts)]() noexcept { witness.run(); });
      if (round % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(round * 10));
      if (round % 5 == 0) stream.stop();
    }
    CHECK(counts.alive == 0, "round %d: %d closures alive after the stream", round, counts.alive.load());
    CHECK(counts.ran <= round * 20, "round %d: %d tasks ran", round, counts.ran.load());
  }
}

void testSynchronous() {
  Stream stream(true);
  const auto caller = std::this_thread::get_id();
  std::thread::id runner;
  stream.submit(kQueued, [&runner]() noexcept { runner = std::this_thread::get_id(); });
  CHECK(runner == caller, "a synchronous stream ran a task elsewhere");
}

}  // namespace

int main() {
  testOrder();
  testWaking();
  testBackpressure();
  testStopping();
  testSynchronous();
  return check::report("stream_test");
}
