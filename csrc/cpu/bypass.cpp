#include "bypass.h"

#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>

#include <algorithm>
#endif

namespace quanto::cpu {

#if defined(__x86_64__)

namespace {

constexpr int64_t kVector = sizeof(__m128i);

// Bytes of the largest cache that a core can fill; the C library tells the sum over the package. 32 MiB where the processor does not say.
int64_t largestCache() {
  int64_t largest = 0;
  // The caches one by one, as Intel lists them and as AMD does.
  for (const unsigned leaf : {0x4u, 0x8000001du}) {
    for (unsigned cache = 0; cache < 8; ++cache) {
      unsigned a, b, c, d;
      if (!__get_cpuid_count(leaf, cache, &a, &b, &c, &d) || (a & 31) == 0) break;
      const int64_t ways = (b >> 22) + 1, partitions = (b >> 12 & 1023) + 1, line = (b & 4095) + 1, sets = int64_t{c} + 1;
      largest = std::max(largest, ways * partitions * line * sets);
    }
  }
  return largest > 0 ? largest : int64_t{32} << 20;
}

}  // namespace

bool bypassesCaches(int64_t bytes) {
  static const int64_t cache = largestCache();
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
