// What belongs to one JS environment (the main thread or a worker): its stream, its memory account, its random generator.
#pragma once

#include "stream.h"
#include "tensor.h"

namespace quanto {

// Counter-based, so that a seed alone fixes every number on any device and thread count: each op takes a run of counters.
struct Generator {
  uint64_t seed = 0;
  uint64_t offset = 0;
  uint64_t take(int64_t elements) {
    const uint64_t start = offset;
    offset += (static_cast<uint64_t>(elements) + 3) / 4;  // four numbers a counter (Philox 4x32)
    return start;
  }
};

class Environment {
 public:
  explicit Environment(bool synchronous) : account(new Account), stream(synchronous) {}

  // The environment whose JS call is running on this thread.
  static Environment& current() { return *current_; }

  class Scope {
   public:
    explicit Scope(Environment& environment) : previous_(current_) { current_ = &environment; }
    ~Scope() { current_ = previous_; }
    Scope(const Scope&) = delete;

   private:
    Environment* previous_;
  };

  Ref<Account> account;
  Stream stream;
  Generator generator;

 private:
  static thread_local Environment* current_;
};

}  // namespace quanto
