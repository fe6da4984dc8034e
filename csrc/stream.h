// The stream of one environment: ops return at once, their kernels run in order on one executor thread. Small ops on an idle stream
// run on the calling thread, where nothing has to hop.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <thread>
#include <type_traits>
#include <unordered_map>

#include "device.h"

namespace quanto {

class Stream {
 public:
  explicit Stream(bool synchronous) : synchronous_(synchronous) {}
  ~Stream() { stop(); }
  Stream(const Stream&) = delete;

  // Runs `task()` in order. `nanoseconds` is its predicted time. One thread, the environment's own, submits.
  template <class Task>
  void submit(double nanoseconds, Task&& task) {
    static_assert(std::is_nothrow_invocable_v<Task&>, "nobody catches on the executor: a failure goes into the outputs");
    // Where no thread can be started nothing is queued either, so running here keeps the order.
    if (synchronous_ || runsInline(nanoseconds) || !start()) {
      task();
      return;
    }
    emplace(std::forward<Task>(task));
  }

  bool idle() const { return done_.load(std::memory_order_acquire) == issued_.load(std::memory_order_relaxed); }
  bool synchronous() const { return synchronous_; }
  // The event loop has turned, or a caller chose to wait: what was run inline before no longer holds anybody up.
  void turn() { spentInline_ = 0; }
  // Waits until everything submitted has run.
  void synchronize();
  // Finishes the running kernel, drops the others, and joins the executor.
  void stop();

  // The device's queue of this stream, opened at first use. On the stream only.
  Queue* queue(Device& device);
  // Waits until the devices have done what kernels gave them, which a kernel does not wait for. On the stream only.
  void finishQueues();

 private:
  // Waking a sleeping thread costs about 40 us, so anything shorter is cheaper where it stands.
  static constexpr double kCheapNanoseconds = 50e3;
  // What is read at once is still cheaper there when it takes a few times as long, for the reader is woken too. But a turn of the event
  // loop spends so much on it at most: a long forward goes to the executor.
  static constexpr double kInlineNanoseconds = 1.5e6, kTurnNanoseconds = 2e6;
  static constexpr uint32_t kSlots = 4096;
  static constexpr size_t kSlotBytes = 896;

  // A type-erased closure, in place when it fits.
  struct Slot {
    void (*run)(void*);
    void (*destroy)(void*);
    void* object;
    alignas(std::max_align_t) std::byte inplace[kSlotBytes];
  };

  bool runsInline(double nanoseconds) {
    if (nanoseconds >= kInlineNanoseconds || !idle()) return false;
    if (nanoseconds < kCheapNanoseconds) return true;
    spentInline_ += nanoseconds;
    return spentInline_ <= kTurnNanoseconds;
  }
  bool start();     // false when the system gives no thread
  Slot& acquire();  // blocks while the ring is full
  void publish();
  void work();
  static void advance(std::atomic<uint32_t>& counter);

  template <class Task>
  void emplace(Task&& task) {
    using T = std::decay_t<Task>;
    Slot& slot = acquire();
    constexpr bool fits = sizeof(T) <= kSlotBytes && alignof(T) <= alignof(std::max_align_t);
    if constexpr (fits) {
      slot.object = new (slot.inplace) T(std::forward<Task>(task));
      slot.destroy = [](void* object) { static_cast<T*>(object)->~T(); };
    } else {
      slot.object = new T(std::forward<Task>(task));
      slot.destroy = [](void* object) { delete static_cast<T*>(object); };
    }
    slot.run = [](void* object) { (*static_cast<T*>(object))(); };
    publish();
  }

  const bool synchronous_;
  std::unique_ptr<Slot[]> ring_;
  std::thread executor_;
  std::unordered_map<int32_t, Queue*> queues_;
  double spentInline_ = 0;                       // predicted nanoseconds of this turn
  alignas(64) std::atomic<uint32_t> issued_{0};  // written by the environment's thread
  alignas(64) std::atomic<uint32_t> done_{0};    // written by the executor
  uint32_t last_ = 0;                            // what was issued when `stopping_` was set
  std::atomic<bool> stopping_{false};
};

}  // namespace quanto
