#include "bypass.h"

#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#include <unistd.h>
#endif

namespace quanto::cpu {

#if defined(__x86_64__)

namespace {

constexpr int64_t kVector = sizeof(__m128i);

int64_t lastLevelCache() {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  if (const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE); bytes > 0) return bytes;
#endif
  return int64_t{32} << 20;
}

}  // namespace

bool bypassesCaches(int64_t bytes) {
  static const int64_t cache = lastLevelCache();
  return bytes >= cache;
}

void copyPastCaches(void* target, const void* source, int64_t bytes) {
  auto* to = static_cast<char*>(target);
  const auto* from = static_cast<const char*>(source);
  // Up to whole vectors of the target.
  int64_t head = -reinterpret_cast<intptr_t>(to) & (kVector - 1);
  if (head > bytes) head = bytes;
  std::memcpy(to, from, head);
  int64_t i = head;
  for (; i + kVector <= bytes; i += kVector)
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i), _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  std::memcpy(to + i, from + i, bytes - i);
}

#else

bool bypassesCaches(int64_t) { return false; }
void copyPastCaches(void* target, const void* source, int64_t bytes) { std::memcpy(target, source, bytes); }

#endif

}  // namespace quanto::cpu
