#include "fiber.h"

#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

extern "C" void quantoSwitchStack(void** from, void* to);

// Saves the registers that a callee must keep, the stack pointer to *from, and takes those of `to`.
#if defined(__x86_64__)
asm(R"(
.text
.type quantoSwitchStack, @function
.hidden quantoSwitchStack
.globl quantoSwitchStack
quantoSwitchStack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size quantoSwitchStack, .-quantoSwitchStack
)");
constexpr int kSavedWords = 6, kReturnWord = 6;
#elif defined(__aarch64__)
asm(R"(
.text
.type quantoSwitchStack, @function
.hidden quantoSwitchStack
.globl quantoSwitchStack
quantoSwitchStack:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size quantoSwitchStack, .-quantoSwitchStack
)");
constexpr int kSavedWords = 20, kReturnWord = 11;
#else
#error "the emulator knows how to switch stacks on x86-64 and aarch64 only"
#endif

namespace quanto::emulator {

#if defined(__SANITIZE_ADDRESS__)
namespace {
// The stack of the thread that the fibers came from.
const void* originBottom;
size_t originSize;
}  // namespace
#endif

void prepareFiber(Fiber& fiber, void (*entry)()) {
  auto top = reinterpret_cast<uintptr_t>(fiber.stack + kStackBytes) & ~uintptr_t{15};
  auto** words = reinterpret_cast<void**>(top) - (kSavedWords + 4);
  for (int i = 0; i < kSavedWords + 4; ++i) words[i] = nullptr;
  words[kReturnWord] = reinterpret_cast<void*>(entry);
#if defined(__x86_64__)
  // At its first instruction a function finds the stack 8 bytes off a multiple of 16.
  if ((reinterpret_cast<uintptr_t>(words + kReturnWord + 1) & 15) != 8) {
    words[kReturnWord] = nullptr;
    --words;
    for (int i = 0; i < kSavedWords; ++i) words[i] = nullptr;
    words[kReturnWord] = reinterpret_cast<void*>(entry);
  }
#endif
  fiber.stackPointer = words;
}

void switchFiber(Fiber& from, Fiber& to, [[maybe_unused]] bool ends) {
#if defined(__SANITIZE_THREAD__)
  // The switch itself orders nothing: that the fibers share an OS thread is the emulator's doing.
  __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = to.stack ? to.stack : originBottom;
  const size_t size = to.stack ? kStackBytes : originSize;
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.asanFakeStack, bottom, size);
  quantoSwitchStack(&from.stackPointer, to.stackPointer);
  __sanitizer_finish_switch_fiber(from.asanFakeStack, from.stack ? &originBottom : nullptr, from.stack ? &originSize : nullptr);
#else
  quantoSwitchStack(&from.stackPointer, to.stackPointer);
#endif
}

void enterFiber() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &originBottom, &originSize);
#endif
}

void orderRelease([[maybe_unused]] void* object) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(object);
#endif
}
void orderAcquire([[maybe_unused]] void* object) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(object);
#endif
}
void createTsanFiber([[maybe_unused]] Fiber& fiber) {
#if defined(__SANITIZE_THREAD__)
  fiber.tsan = __tsan_create_fiber(0);
#endif
}
void adoptTsanFiber([[maybe_unused]] Fiber& fiber) {
#if defined(__SANITIZE_THREAD__)
  fiber.tsan = __tsan_get_current_fiber();
#endif
}

}  // namespace quanto::emulator
