// Products of real rows and int8 weights on integer units.
//
// A row is brought to fixed point, 30 bits below the power of two above its largest magnitude, and written as four rows of int8 digits to
// the base 256; their exact integer sums with the weights make the product. A value of at least 1/64 of its row's largest is represented
// exactly, any other one to 2^-30 of the largest. That is closer than sums of float32 come, but where the largest value stands some
// thousand times above the others and meets weights near 0. No weight is widened and none is converted. On processors that multiply int8 16
// times as fast as float32 this takes a fourth of the time of a float32 product; where they do so 4 times as fast, what is saved is
// widening the weights, most of the time where there are few rows.
// Where less than float32 is asked for, 14 bits in two digits take half the time of four: a value of at least 1/64 of its row's largest is
// as exact as a bfloat16, larger ones are more so, and any other one is exact to 2^-14 of the largest.
#pragma once

#include "gemm.h"
#include "kernels.h"

namespace quanto::cpu {

// Whether the kernel gains by digits, and K keeps the sums within int32.
bool takesDigits(const Int8Kernel& kernel, int64_t m, int64_t n, int64_t k, Precision precision);

// gemmWeightOnly for such a kernel; `fit` is false, and nothing is computed, where a row has no digits: it contains an infinity or NaN, or
// nothing as large as 2^-97 but zeros.
Status gemmByDigits(int64_t m, int64_t n, int64_t k, const Matrix& a, const Int8Weight& weight, const Scales& weightScale,
                    const FloatOutput& out, Precision precision, const Int8Kernel& kernel, bool* fit);

}  // namespace quanto::cpu
