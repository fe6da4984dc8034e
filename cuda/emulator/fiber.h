// Cooperative threads on stacks of their own. A switch saves the registers that a call preserves, and nothing else: ucontext's saves the
// signal mask with a system call, which takes 20 times as long.
#pragma once

#include <cstddef>

namespace quanto::emulator {

// Where a stopped thread of execution goes on.
struct Fiber {
  void* stackPointer = nullptr;
  char* stack = nullptr;  // lowest address; null for the thread that the fibers came from
  void* tsan = nullptr;
  void* asanFakeStack = nullptr;
};

inline constexpr size_t kStackBytes = 64 << 10;

// Lets a fiber with a stack begin at `entry` when it is next switched to. `entry` must not return.
void prepareFiber(Fiber& fiber, void (*entry)());
// Runs `to` until it switches back. `ends`: `from` will not be gone on with.
void switchFiber(Fiber& from, Fiber& to, bool ends = false);
// The first thing that an entry does.
void enterFiber();

// What the race detector must know: everything before a release comes before what follows the acquire of the same object.
void orderRelease(void* object);
void orderAcquire(void* object);
void createTsanFiber(Fiber& fiber);
void adoptTsanFiber(Fiber& fiber);

#if defined(__SANITIZE_THREAD__)
inline constexpr bool kRaceDetector = true;
#else
inline constexpr bool kRaceDetector = false;
#endif

}  // namespace quanto::emulator
