// A tiny check helper for the native tests: plain programs that print "N passed, M failed" and return 1 on any failure.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>

namespace check {

inline int passed = 0, failed = 0;

// Counts one check; on failure prints where and what, in printf form.
__attribute__((format(printf, 4, 5))) inline bool that(bool condition, const char* file, int line, const char* format, ...) {
  ++(condition ? passed : failed);
  if (condition) return true;
  if (failed <= 20) {
    std::fprintf(stderr, "%s:%d: ", file, line);
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fprintf(stderr, "\n");
  }
  return false;
}

inline int report(const char* name) {
  std::printf("%s: %d passed, %d failed\n", name, passed, failed);
  return failed != 0;
}

// Reproducible numbers: Knuth's MMIX generator, upper bits.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint32_t bits() {
    state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<uint32_t>(state_ >> 33);
  }
  float symmetric() { return static_cast<float>(bits()) / static_cast<float>(1 << 30) - 1.0f; }  // [-1, 1]
  int8_t code() { return static_cast<int8_t>(bits() >> 12); }

 private:
  uint64_t state_;
};

}  // namespace check

#define CHECK(condition, ...) check::that((condition), __FILE__, __LINE__, __VA_ARGS__)
