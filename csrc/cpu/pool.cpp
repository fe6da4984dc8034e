// Callers publish their work in a fixed table of slots; workers look through the table when an epoch counter moves. Everything lives in
// static storage with no destructor and workers are detached, so a worker that sleeps (or still runs) cannot hold up or break process
// exit: the destructor of a condition variable would wait for its sleepers.
#include "pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "cpu_count.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace quanto::cpu {
namespace {

// More pieces than threads, so that a thread which wakes late or is preempted holds up only a small piece.
constexpr int kPiecesPerThread = 4;
// Ranges of pieces at most; threads past them only take what others leave.
constexpr int kRanges = 64;
constexpr int kMaxThreads = 1024;
// Callers beyond this many at once run inline.
constexpr int kSlots = 16;
// Waking a sleeping thread takes 40 us, and in a virtual machine 200 us and more: a worker that sleeps between the ops of a model never
// comes in time to help. So it looks out for a while; callers who wait for its last piece give up sooner, for they hold a core too.
constexpr std::chrono::microseconds kWorkerSpin{1000}, kCallerSpin{50};

// Slot::state: the flags, and in the low bits the number of workers inside.
constexpr uint32_t kTaken = 1u << 31;  // belongs to a caller
constexpr uint32_t kOpen = 1u << 30;   // workers may enter

// Pieces not yet handed out: the first one in the upper half, the one past the last in the lower.
struct alignas(64) PieceRange {
  std::atomic<uint64_t> bounds;

  void set(uint32_t begin, uint32_t end) { bounds.store(uint64_t{begin} << 32 | end, std::memory_order_relaxed); }
  // The first piece or the last one; -1 when none is left.
  int64_t take(bool first) {
    uint64_t current = bounds.load(std::memory_order_relaxed);
    for (;;) {
      const auto begin = static_cast<uint32_t>(current >> 32), end = static_cast<uint32_t>(current);
      if (begin >= end) return -1;
      const uint64_t left = first ? uint64_t{begin + 1} << 32 | end : uint64_t{begin} << 32 | (end - 1);
      if (bounds.compare_exchange_weak(current, left, std::memory_order_relaxed)) return first ? begin : end - 1;
    }
  }
};

struct alignas(64) Slot {
  std::atomic<uint32_t> state;
  void (*body)(void* context, int64_t begin, int64_t end);
  void* context;
  int64_t count, pieceSize;
  int rangeCount;
  PieceRange ranges[kRanges];
};

struct Pool {
  Slot slots[kSlots];
  alignas(64) std::atomic<uint32_t> epoch;  // moves when a slot opens or the thread count changes
  std::atomic<uint32_t> sleepers;
  std::atomic<int> threads;  // wanted, the caller included; 0 until first asked
  std::atomic<int> workers;  // started
  std::atomic<bool> starting;
  std::atomic<int> cpus;
};
constinit Pool pool{};

thread_local bool insideParallelFor = false;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Spins until `done`, at most so long. With more threads than CPUs spinning would only keep others from running.
template <class Done>
bool spinUntil(std::chrono::microseconds longest, Done done) {
  if (pool.threads.load(std::memory_order_relaxed) > pool.cpus.load(std::memory_order_relaxed)) return done();
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() - start < longest);
  return false;
}

void announce() {
  pool.epoch.fetch_add(1);
  if (pool.sleepers.load() > 0) pool.epoch.notify_all();
}

// Each thread has a range of its own, the same from call to call: what it reads and writes stays in its core's caches. It takes the last
// pieces of other ranges when its own is done.
void runPieces(Slot& slot, int self) {
  insideParallelFor = true;
  for (int i = 0; i < slot.rangeCount; ++i) {
    PieceRange& range = slot.ranges[(self + i) % slot.rangeCount];
    for (int64_t piece; (piece = range.take(i == 0)) >= 0;) {
      const int64_t begin = piece * slot.pieceSize;
      slot.body(slot.context, begin, std::min(begin + slot.pieceSize, slot.count));
    }
  }
  insideParallelFor = false;
  // Nothing is left to hand out: keep others from entering in vain.
  slot.state.fetch_and(~kOpen, std::memory_order_relaxed);
}

void help(Slot& slot, int self) {
  uint32_t state = slot.state.load(std::memory_order_relaxed);
  do {
    if (!(state & kOpen)) return;
  } while (!slot.state.compare_exchange_weak(state, state + 1, std::memory_order_acquire, std::memory_order_relaxed));
  runPieces(slot, self);
  if (slot.state.fetch_sub(1, std::memory_order_release) == kTaken + 1) slot.state.notify_all();
}

void runWorker(int index) {
  for (;;) {
    const uint32_t epoch = pool.epoch.load();
    const bool wanted = index + 1 < pool.threads.load(std::memory_order_relaxed);
    if (wanted) {
      for (Slot& slot : pool.slots) help(slot, index + 1);
    }
    const auto moved = [epoch] { return pool.epoch.load(std::memory_order_relaxed) != epoch; };
    if (wanted && spinUntil(kWorkerSpin, moved)) continue;
    pool.sleepers.fetch_add(1);
    pool.epoch.wait(epoch);
    pool.sleepers.fetch_sub(1);
  }
}

// A forked child has none of the workers; it starts its own when it needs them.
void forgetWorkers() {
  for (Slot& slot : pool.slots) slot.state.store(0);
  pool.sleepers.store(0);
  pool.workers.store(0);
  pool.starting.store(false);
}

void startWorkers(int threads) {
  if (pool.workers.load(std::memory_order_acquire) >= threads - 1 || pool.starting.exchange(true)) return;
#if defined(__unix__) || defined(__APPLE__)
  static const bool registered = pthread_atfork(nullptr, nullptr, forgetWorkers) == 0;
  static_cast<void>(registered);
#endif
  try {
    for (int index = pool.workers.load(); index < threads - 1; ++index) {
      std::thread(runWorker, index).detach();
      pool.workers.store(index + 1);
    }
  } catch (...) {
    // The system allows no more threads, or there is no memory for them: go on with those there are.
    pool.threads.store(pool.workers.load() + 1);
  }
  pool.starting.store(false);
}

Slot* takeSlot() {
  for (Slot& slot : pool.slots) {
    uint32_t free = 0;
    if (slot.state.compare_exchange_strong(free, kTaken, std::memory_order_acquire, std::memory_order_relaxed)) return &slot;
  }
  return nullptr;
}

void waitForHelpers(Slot& slot) {
  const auto done = [&slot] { return slot.state.load(std::memory_order_acquire) == kTaken; };
  while (!spinUntil(kCallerSpin, done)) {
    const uint32_t state = slot.state.load(std::memory_order_acquire);
    if (state != kTaken) slot.state.wait(state, std::memory_order_acquire);
  }
}

}  // namespace

int threadCount() {
  int threads = pool.threads.load(std::memory_order_relaxed);
  if (threads == 0) {
    const int cpus = availableCpus();
    pool.cpus.store(cpus, std::memory_order_relaxed);
    int unset = 0;
    pool.threads.compare_exchange_strong(unset, std::min(cpus, kMaxThreads));
    threads = pool.threads.load();
  }
  return threads;
}

void setThreadCount(int count) {
  threadCount();
  pool.threads.store(std::clamp(count, 1, kMaxThreads));
  announce();
}

void parallelForRaw(int64_t count, int64_t grain, void (*body)(void* context, int64_t begin, int64_t end), void* context) noexcept {
  if (count <= 0) return;
  const int threads = insideParallelFor ? 1 : threadCount();
  const int64_t pieces = std::min<int64_t>(count / std::max<int64_t>(grain, 1), int64_t{threads} * kPiecesPerThread);
  Slot* slot = nullptr;
  if (threads > 1 && pieces > 1) {
    startWorkers(threads);
    slot = takeSlot();
  }
  if (!slot) {
    body(context, 0, count);
    return;
  }
  slot->body = body;
  slot->context = context;
  slot->count = count;
  slot->pieceSize = (count + pieces - 1) / pieces;
  const int64_t used = (count + slot->pieceSize - 1) / slot->pieceSize;
  slot->rangeCount = static_cast<int>(std::min<int64_t>({used, threads, kRanges}));
  for (int i = 0; i < slot->rangeCount; ++i)
    slot->ranges[i].set(static_cast<uint32_t>(used * i / slot->rangeCount), static_cast<uint32_t>(used * (i + 1) / slot->rangeCount));
  slot->state.store(kTaken | kOpen, std::memory_order_release);
  announce();
  runPieces(*slot, 0);
  waitForHelpers(*slot);
  slot->state.store(0, std::memory_order_release);
}

}  // namespace quanto::cpu
