// Real rows on their way to digits (gemm_digits.h).
#pragma once

#include "gemm.h"
#include "kernels.h"

namespace quanto::cpu {

class DigitRows {
 public:
  // `exponents` and `scales` have a place for each row.
  DigitRows(const DigitLoops& loops, const DigitForm& form, const Matrix& a, int64_t k, int32_t* exponents, float* scales)
      : loops_(loops), form_(form), a_(a), k_(k), exponents_(exponents), scales_(scales) {}

  // Finds the exponents and scales of rows [0, count): a value is 2^-exponent times its digits' number. False where a row has
  // an infinity or NaN, or nothing but zeros and values whose scale is no normal number.
  bool measure(int64_t count);

  // The digits of values [begin, begin + count) of a row, the highest first, outStride apart.
  void split(int64_t row, int64_t begin, int64_t count, int8_t* out, int64_t outStride) const;

 private:
  bool measureRow(int64_t row);

  const DigitLoops& loops_;
  const DigitForm& form_;
  const Matrix& a_;
  int64_t k_;
  int32_t* exponents_;
  float* scales_;
};

}  // namespace quanto::cpu
