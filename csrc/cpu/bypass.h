// Results larger than the last-level cache that take little arithmetic are written past it: an ordinary store reads the line that it
// overwrites first, half as much memory traffic again for nothing, because nobody finds the result in a cache afterwards. Measured with two
// threads: copies are 1.4 times as fast on a Zen 5 and 1.6 times on a Zen 3, transposing ones 1.6 and 1.3 times; cheap elementwise
// functions gain nothing on the one and 1.2 to 1.3 times on the other; functions such as exp and softmax lose on both, so they do not do
// it.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace quanto::cpu {

// Whether a result of so many bytes goes past the caches. Never on machines without the instructions for it.
bool bypassesCaches(int64_t bytes);

// memcpy past the caches. Other threads see what is written once this thread has called finishBypass.
void copyPastCaches(void* target, const void* source, int64_t bytes);

inline void finishBypass() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

}  // namespace quanto::cpu
