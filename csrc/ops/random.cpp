#include "random.h"

#include <cmath>
#include <limits>

namespace quanto::ops {

namespace {

void requireRealDType(const char* op, DType dtype) {
  if (!isReal(dtype))
    fail(ErrorCode::DTYPE_MISMATCH, "[", op, "] expected a floating-point dtype but got ", info(dtype).name, "; use randint for integers");
}

// Kernels compute in float32.
bool isFloat(double value) { return std::fabs(value) <= std::numeric_limits<float>::max(); }

}  // namespace

Tensor uniform(const Shape& shape, double low, double high, DType dtype, Device& device) {
  requireRealDType("uniform", dtype);
  if (!isFloat(low) || !isFloat(high) || !isFloat(high - low) || low > high)
    fail(ErrorCode::INVALID_ARGUMENT, "[uniform] expected finite float32 bounds, low <= high, but got ", low, " and ", high);
  const Tensor dst = empty(shape, dtype, device);
  Generator& generator = Environment::current().generator;
  launch<&Backend::uniform>("uniform", mathCost(dst.numel()), out(dst), low, high, generator.seed, generator.take(dst.numel()));
  return dst;
}

Tensor normal(const Shape& shape, double mean, double deviation, DType dtype, Device& device) {
  requireRealDType("normal", dtype);
  if (!isFloat(mean) || !isFloat(deviation) || deviation < 0)
    fail(ErrorCode::INVALID_ARGUMENT, "[normal] expected a finite mean and a deviation of at least 0 but got ", mean, " and ", deviation);
  const Tensor dst = empty(shape, dtype, device);
  Generator& generator = Environment::current().generator;
  launch<&Backend::normal>("normal", 4 * mathCost(dst.numel()), out(dst), mean, deviation, generator.seed, generator.take(dst.numel()));
  return dst;
}

Tensor randint(int64_t low, int64_t high, const Shape& shape, DType dtype, Device& device) {
  if (!isInteger(dtype))
    fail(ErrorCode::DTYPE_MISMATCH, "[randint] expected an integer dtype but got ", info(dtype).name, "; convert the result with .to()");
  if (low >= high) fail(ErrorCode::INVALID_ARGUMENT, "[randint] expected low < high but got ", low, " and ", high);
  // Everything that is not 64 bits wide has bounds that int64 holds.
  const int bits = static_cast<int>(sizeOf(dtype)) * 8;
  const bool isUnsigned = dtype == DType::uint8;
  const int64_t largest = bits == 64 ? std::numeric_limits<int64_t>::max() : (int64_t{1} << (isUnsigned ? bits : bits - 1)) - 1;
  const int64_t smallest = isUnsigned ? 0 : -largest - 1;
  if (low < smallest || high - 1 > largest)
    fail(ErrorCode::INVALID_ARGUMENT, "[randint] expected bounds that ", info(dtype).name, " holds, ", smallest, " to ", largest,
         ", but got ", low, " to ", high - 1, "; use a wider dtype");
  const Tensor dst = empty(shape, dtype, device);
  Generator& generator = Environment::current().generator;
  launch<&Backend::randint>("randint", mathCost(dst.numel()), out(dst), low, high, generator.seed, generator.take(dst.numel()));
  return dst;
}

void manualSeed(int64_t seed) { Environment::current().generator = Generator{static_cast<uint64_t>(seed), 0}; }

}  // namespace quanto::ops
