#include "stream.h"

#include <chrono>

namespace quanto {

namespace {

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// True once `ready()`; false after about `microseconds` of spinning.
template <class Ready>
bool spin(int microseconds, Ready&& ready) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::microseconds(microseconds);
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      relax();
    }
  } while (Clock::now() < end);
  return ready();
}

// The executor stays awake between the ops of a model; a caller who waits for it only holds a core that the kernel could use.
constexpr int kExecutorSpin = 300, kCallerSpin = 20;

}  // namespace

bool Stream::start() {
  if (executor_.joinable()) return true;
  try {
    if (!ring_) ring_.reset(new Slot[kSlots]);
    executor_ = std::thread([this] { work(); });
  } catch (const std::exception&) {
    return false;
  }
  return true;
}

Stream::Slot& Stream::acquire() {
  const uint32_t issued = issued_.load(std::memory_order_relaxed);
  for (uint32_t done = done_.load(std::memory_order_acquire); issued - done == kSlots; done = done_.load(std::memory_order_acquire))
    done_.wait(done, std::memory_order_acquire);
  return ring_[issued % kSlots];
}

void Stream::publish() { advance(issued_); }

// A store that other threads may sleep on is sequentially consistent: with less, the look for sleepers inside notify_one could come
// before it, and a thread that falls asleep in between would never be woken.
void Stream::advance(std::atomic<uint32_t>& counter) {
  counter.fetch_add(1, std::memory_order_seq_cst);
  counter.notify_one();
}

void Stream::work() {
  uint32_t next = done_.load(std::memory_order_relaxed);  // goes on after a stop
  for (;;) {
    const auto ready = [&] { return issued_.load(std::memory_order_acquire) != next || stopping_.load(std::memory_order_acquire); };
    if (!ready() && !spin(kExecutorSpin, ready)) issued_.wait(next, std::memory_order_acquire);
    if (stopping_.load(std::memory_order_acquire)) break;
    if (issued_.load(std::memory_order_acquire) == next) continue;
    Slot& slot = ring_[next % kSlots];
    slot.run(slot.object);
    slot.destroy(slot.object);
    ++next;
    advance(done_);
  }
  for (; next != last_; ++next) ring_[next % kSlots].destroy(ring_[next % kSlots].object);
  done_.store(next, std::memory_order_release);
}

void Stream::synchronize() {
  const uint32_t target = issued_.load(std::memory_order_relaxed);
  // The executor is past `target` when the difference is not positive; counters may wrap.
  const auto reached = [&] { return static_cast<int32_t>(target - done_.load(std::memory_order_acquire)) <= 0; };
  if (reached() || spin(kCallerSpin, reached)) return;
  for (uint32_t done = done_.load(std::memory_order_acquire); static_cast<int32_t>(target - done) > 0;
       done = done_.load(std::memory_order_acquire))
    done_.wait(done, std::memory_order_acquire);
}

void Stream::stop() {
  if (executor_.joinable()) {
    last_ = issued_.load(std::memory_order_relaxed);
    stopping_.store(true, std::memory_order_release);
    // The counter must move, or a waiting executor would find its value unchanged and sleep on.
    advance(issued_);
    executor_.join();
    issued_.store(last_, std::memory_order_relaxed);
    stopping_.store(false, std::memory_order_relaxed);
  }
  for (auto& [id, queue] : queues_) deviceById(id).backend.closeQueue(queue);
  queues_.clear();
}

Queue* Stream::queue(Device& device) {
  if (&device == &cpuDevice()) return nullptr;
  auto [entry, added] = queues_.try_emplace(device.id, nullptr);
  if (added) entry->second = device.backend.openQueue(device.index);
  return entry->second;
}

void Stream::finishQueues() {
  // What failed there is reported where its results are read.
  for (auto& [id, queue] : queues_) {
    if (queue) deviceById(id).backend.synchronize(queue);
  }
}

}  // namespace quanto
