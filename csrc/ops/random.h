#pragma once

#include "common.h"

namespace quanto::ops {

// Numbers from the environment's generator: the seed and the calls before fix them, whatever the device and the thread count.
// Evenly spread over [low, high).
Tensor uniform(const Shape& shape, double low, double high, DType dtype, Device& device);
Tensor normal(const Shape& shape, double mean, double deviation, DType dtype, Device& device);
// Integers from low up to, not including, high.
Tensor randint(int64_t low, int64_t high, const Shape& shape, DType dtype, Device& device);
void manualSeed(int64_t seed);

}  // namespace quanto::ops
