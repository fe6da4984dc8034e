// Runs grids: blocks one after another, a block's threads in turns between barriers.
// Not instrumented for races (see CMakeLists.txt): what the threads share here is the emulator's own.
#include "emulator.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include "fiber.h"

namespace quanto::emulator {

namespace {

constexpr int kWarp = 32, kMaxThreads = 1024;

enum class State { fresh, atBarrier, atExchange, done };

struct Thread {
  State state;
  int fiber;  // its stack, -1 while it has none
  uint64_t given[2];
  unsigned exchanges, barriers;
};

struct Block {
  Place place;
  const std::function<void()>* body = nullptr;
  Thread threads[kMaxThreads];
  int running = 0;
  Fiber scheduler;
  std::deque<Fiber> fibers;  // a stopped fiber goes on referring to its own
  std::vector<int> freeFibers;
  // What the race detector orders by. Each comes in two, in turns: a thread that is ahead, at its next barrier, at its next exchange or at
  // its end, must not seem to come before those that have yet to leave the last one.
  char barriers[2], warps[kMaxThreads / kWarp][2], ends[2];
  unsigned number = 0;  // of the block, over all grids
};

// Grids run one at a time: runtime.cpp holds a lock.
Block& block() {
  static Block& only = *new Block;
  return only;
}

[[noreturn]] void misuse(const char* what) {
  std::fprintf(stderr, "quanto CUDA emulator: %s\n", what);
  std::abort();
}

Thread& self() { return block().threads[block().running]; }

void pause(State state) {
  Block& b = block();
  self().state = state;
  switchFiber(b.fibers[self().fiber], b.scheduler);
}

void threadMain() {
  enterFiber();
  for (;;) {
    Block& b = block();
    if (kRaceDetector) orderAcquire(&b.ends[(b.number + 1) % 2]);
    (*b.body)();
    if (kRaceDetector) orderRelease(&b.ends[b.number % 2]);
    pause(State::done);
  }
}

int takeFiber(int thread) {
  Block& b = block();
  // The race detector must tell threads apart, and so each has a fiber of its own.
  if (!kRaceDetector && !b.freeFibers.empty()) {
    const int fiber = b.freeFibers.back();
    b.freeFibers.pop_back();
    return fiber;
  }
  const size_t wanted = kRaceDetector ? static_cast<size_t>(thread) + 1 : b.fibers.size() + 1;
  while (b.fibers.size() < wanted) {
    Fiber fiber;
    void* stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) misuse("there is no memory for the stacks of a block");
    fiber.stack = static_cast<char*>(stack);
    createTsanFiber(fiber);
    prepareFiber(fiber, threadMain);
    b.fibers.push_back(fiber);
  }
  return kRaceDetector ? thread : static_cast<int>(b.fibers.size()) - 1;
}

void resume(int thread) {
  Block& b = block();
  Thread& t = b.threads[thread];
  if (t.fiber < 0) t.fiber = takeFiber(thread);
  b.running = thread;
  const dim3 size = b.place.blockSize;
  b.place.thread = dim3(thread % size.x, thread / size.x % size.y, thread / (size.x * size.y));
  switchFiber(b.scheduler, b.fibers[t.fiber]);
  // A thread that has ended waits in its loop for the next.
  if (t.state == State::done) b.freeFibers.push_back(t.fiber);
}

// Runs the threads of a warp until each has ended or stands at a barrier; exchanges happen between them.
void runWarp(int first, int last) {
  Block& b = block();
  for (;;) {
    int exchanging = 0, stopped = 0;
    for (int i = first; i < last; ++i) {
      if (b.threads[i].state == State::done) continue;
      resume(i);
      if (b.threads[i].state == State::atExchange) ++exchanging;
      if (b.threads[i].state == State::atBarrier) ++stopped;
    }
    if (exchanging == 0) return;
    if (stopped > 0) misuse("a shuffle was reached by a part of a warp while the rest waits at __syncthreads()");
  }
}

void runBlock(int threads) {
  Block& b = block();
  b.freeFibers.clear();
  if (!kRaceDetector)
    for (int i = static_cast<int>(b.fibers.size()) - 1; i >= 0; --i) b.freeFibers.push_back(i);
  ++b.number;
  for (int i = 0; i < threads; ++i) b.threads[i] = {State::fresh, -1, {}, 0, 0};
  for (bool waiting = true; waiting;) {
    waiting = false;
    for (int first = 0; first < threads; first += kWarp) runWarp(first, first + kWarp < threads ? first + kWarp : threads);
    for (int i = 0; i < threads; ++i) waiting |= b.threads[i].state == State::atBarrier;
  }
}

}  // namespace

const Place& place() { return block().place; }

int laneOfThread() { return block().running % kWarp; }

void syncThreads() {
  Block& b = block();
  void* barrier = &b.barriers[self().barriers++ % 2];
  if (kRaceDetector) orderRelease(barrier);
  pause(State::atBarrier);
  if (kRaceDetector) orderAcquire(barrier);
}

namespace {

// Shows the warp a value: returns in which of its two places it lies once all lanes have given theirs.
unsigned give(uint64_t value) {
  Block& b = block();
  const int warp = b.running / kWarp;
  Thread& t = self();
  const unsigned turn = t.exchanges++ % 2;
  t.given[turn] = value;
  if (kRaceDetector) orderRelease(&b.warps[warp][turn]);
  pause(State::atExchange);
  if (kRaceDetector) orderAcquire(&b.warps[warp][turn]);
  return turn;
}

uint64_t takeFrom(int lane, unsigned turn, uint64_t otherwise) {
  Block& b = block();
  const dim3 size = b.place.blockSize;
  const int from = b.running / kWarp * kWarp + (lane & (kWarp - 1));
  // Lanes that are not there give the asker its own value, as the hardware does.
  if (from >= static_cast<int>(size.x * size.y * size.z)) return otherwise;
  // That lane may have gone on to its next exchange, which has a place of its own.
  const unsigned ahead = b.threads[from].exchanges - self().exchanges;
  if (ahead > 1) misuse("a shuffle reads a lane that takes no part in it");
  return b.threads[from].given[turn];
}

}  // namespace

uint64_t exchange(uint64_t value, int source) { return takeFrom(source, give(value), value); }

void exchangeAll(uint64_t value, uint64_t (&all)[32]) {
  const unsigned turn = give(value);
  for (int lane = 0; lane < kWarp; ++lane) all[lane] = takeFrom(lane, turn, value);
}

void runGrid(dim3 grid, dim3 size, const std::function<void()>& body) {
  Block& b = block();
  b.body = &body;
  adoptTsanFiber(b.scheduler);
  b.place.gridSize = grid;
  b.place.blockSize = size;
  // What ran before comes before the first block, whichever number that has.
  if (kRaceDetector)
    for (char& end : b.ends) orderRelease(&end);
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        b.place.block = dim3(x, y, z);
        runBlock(static_cast<int>(size.x * size.y * size.z));
      }
    }
  }
  if (kRaceDetector)
    for (char& end : b.ends) orderAcquire(&end);
}

cudaError_t checkLaunch(dim3 grid, dim3 size, size_t parameterBytes) {
  constexpr size_t kParameterBytes = 4096;
  const bool fits = grid.x >= 1 && grid.y >= 1 && grid.z >= 1 && grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535 &&
                    size.x >= 1 && size.y >= 1 && size.z >= 1 && size.x * size.y * size.z <= kMaxThreads && size.z <= 64;
  return fits && parameterBytes <= kParameterBytes ? cudaSuccess : cudaErrorInvalidValue;
}

}  // namespace quanto::emulator
