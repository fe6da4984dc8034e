// Random bits of every backend: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), and the maps from
// bits to distributions. Four words belong to four consecutive elements, so a number depends on seed and place alone.
#pragma once

#include <cstdint>

#include "scalar_math.h"

namespace quanto::philox {

struct Words {
  uint32_t word[4];
};

// `stream` tells independent draws for the same elements apart.
QUANTO_HOST_DEVICE inline Words draw(uint64_t seed, uint64_t counter, uint32_t stream = 0) {
  uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
  Words c{{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), stream, 0}};
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * c.word[0], product1 = uint64_t{0xCD9E8D57} * c.word[2];
    c = {{static_cast<uint32_t>(product1 >> 32) ^ c.word[1] ^ key0, static_cast<uint32_t>(product1),
          static_cast<uint32_t>(product0 >> 32) ^ c.word[3] ^ key1, static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

// A multiple of 2^-24 in [0, 1).
QUANTO_HOST_DEVICE inline float unitInterval(uint32_t word) { return static_cast<float>(word >> 8) * 0x1p-24f; }

struct Pair {
  float first, second;
};

// Two standard normal numbers from two words (Box and Muller 1958). 1 - u is never 0, so the logarithm is finite.
QUANTO_HOST_DEVICE inline Pair normalPair(uint32_t a, uint32_t b) {
  const float radius = math::sqrt(-2 * math::log(1 - unitInterval(a))), angle = 6.28318530717958648f * unitInterval(b);
  return {radius * math::cos(angle), radius * math::sin(angle)};
}

// An integer in [0, range) from 64 random bits: the high half of their product with `range`. No value is off its share by more than
// range / 2^64. A range of 0 stands for 2^64.
QUANTO_HOST_DEVICE inline uint64_t below(uint64_t range, uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 32) | low;
  if (range == 0) return bits;
  const uint64_t rangeHigh = range >> 32, rangeLow = range & 0xffffffffu;
  const uint64_t middle = high * rangeLow + ((low * rangeLow) >> 32);
  const uint64_t carry = (middle & 0xffffffffu) + low * rangeHigh;
  return high * rangeHigh + (middle >> 32) + (carry >> 32);
}

}  // namespace quanto::philox
