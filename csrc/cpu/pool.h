// The process-wide thread pool of the CPU backend.
#pragma once

#include <cstdint>
#include <type_traits>

namespace quanto::cpu {

// Calls body(context, begin, end) over [0, count) in pieces of at least `grain`, on this thread and the pool's. Returns when all
// pieces are done. Which thread runs a piece is not fixed, so a body must not carry state from piece to piece; piece boundaries depend
// on the thread count, so a body's result for one index must not depend on them.
// Runs inline when count <= grain, inside another parallelFor, or when there is one thread. Any number of threads may call it at once.
// A body must not throw.
void parallelForRaw(int64_t count, int64_t grain, void (*body)(void* context, int64_t begin, int64_t end), void* context) noexcept;

template <class Body>
void parallelFor(int64_t count, int64_t grain, Body&& body) {
  using Function = std::remove_reference_t<Body>;
  parallelForRaw(
      count, grain, [](void* context, int64_t begin, int64_t end) { (*static_cast<Function*>(context))(begin, end); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

// Threads used, the caller included. The default honours the affinity mask and the cgroup's CPU limit.
int threadCount();
void setThreadCount(int count);

// Scratch memory of this thread, 64-byte aligned, valid until its next call; it grows and is kept. Null when out of memory.
void* scratch(int64_t bytes);

}  // namespace quanto::cpu
