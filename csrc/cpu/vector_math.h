// The functions of scalar_math.h for float32 in arithmetic that a compiler can vectorize: no branches, no calls, within 2 units in the
// last place (3 for the gelu family), and the same bits under every instruction set. Included by files compiled for one instruction set:
// everything is local to its file, and no C++ library header is used.
#pragma once

#include <stdint.h>

namespace quanto::cpu {
namespace {
namespace math {

inline uint32_t bitsOf(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return bits;
}
inline float floatOf(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
inline float abs(float x) { return floatOf(bitsOf(x) & 0x7fffffffu); }
inline float withSignOf(float magnitude, float x) { return floatOf((bitsOf(magnitude) & 0x7fffffffu) | (bitsOf(x) & 0x80000000u)); }

inline float sqrt(float x) { return __builtin_sqrtf(x); }
inline float sin(float x) { return __builtin_sinf(x); }
inline float cos(float x) { return __builtin_cosf(x); }
inline float pow(float x, float y) { return __builtin_powf(x, y); }

// Adding 2^23 leaves no fraction bits; larger numbers have none.
inline float roundEven(float x) {
  const float shift = 8388608.0f, magnitude = abs(x);
  const float rounded = (magnitude + shift) - shift;
  return withSignOf(magnitude < shift ? rounded : magnitude, x);
}
inline float floor(float x) {
  const float rounded = roundEven(x);
  return rounded > x ? rounded - 1.0f : rounded;
}
inline float ceil(float x) {
  const float rounded = roundEven(x);
  return withSignOf(rounded < x ? rounded + 1.0f : rounded, x);
}

// ln 2 as a head with 9 trailing zero bits, whose products with small integers are exact, and a tail.
constexpr float kLn2Head = 0.693359375f, kLn2Tail = -2.12194440e-4f;
// Adding 1.5 * 2^23 leaves the nearest integer in the low bits.
constexpr float kRoundingShift = 12582912.0f;

// a b + c rounded once. Every instruction set above the reference has it, and where it is a call of the library, as in the reference, the
// bits are the same.
inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

// y = n ln 2 + rest with |rest| <= ln 2 / 2; `exponent` holds n where a float has its own.
struct Reduced {
  float rest;
  uint32_t exponent;
};
inline Reduced reduced(float y) {
  const float shifted = fma(y, 1.44269504f, kRoundingShift);
  const float n = shifted - kRoundingShift;
  return {fma(-n, kLn2Tail, fma(-n, kLn2Head, y)), bitsOf(shifted) << 23};
}

// A minimax polynomial for exp(r), |r| <= ln 2 / 2; its terms in pairs (Estrin's scheme), which wait less for each other than one by one.
inline float expNear0(float r) {
  const float square = r * r;
  const float low = fma(0.166665211f, r, 0.49999994f), high = fma(0.00836871751f, r, 0.041668389f);
  return 1.0f + fma(square, fma(fma(0.00138145965f, square, high), square, low), r);
}

// 2^n is applied in two factors, each a normal number, so that the result may be subnormal or overflow: n - 1 and 1 for positive x, else
// n + 64 and -64, chosen by the sign bit.
inline float exp(float x) {
  const Reduced of = reduced(x < -104.0f ? -104.0f : x);
  const uint32_t shift = static_cast<uint32_t>(static_cast<int32_t>(bitsOf(x)) >> 31) & (65u << 23);
  const float value = expNear0(of.rest) * floatOf(of.exponent + (126u << 23) + shift) * floatOf((128u << 23) - shift);
  // An upper bound for x would cost four times as much: compilers join it and the lower one into a tree of choices.
  return x > 89.0f ? __builtin_inff() : value;
}

// exp(x) for x <= 0; right up to 40.
inline float expNegative(float x) {
  const Reduced of = reduced(x < -104.0f ? -104.0f : x);
  return expNear0(of.rest) * floatOf(of.exponent + (191u << 23)) * 5.42101086e-20f;
}

// exp(x) for x <= 0, but 0 where that is below the normal numbers, with which processors are slow. From -87.7 down n is -127.
inline float expFlushed(float x) {
  const Reduced of = reduced(x < -88.0f ? -88.0f : x);
  return expNear0(of.rest) * floatOf(of.exponent + (127u << 23));
}

// x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); log(1 + f) = 2 atanh(s), s = f / (2 + f), written as f - f^2/2 + s (f^2/2 + R) so
// that the large terms are exact (the form of fdlibm's e_logf.c).
inline float log(float x) {
  const bool subnormal = x < 1.17549435e-38f;
  const float scaled = subnormal ? x * 8388608.0f : x;
  const uint32_t shifted = bitsOf(scaled) - 0x3f3504f3u;  // sqrt(1/2)
  const int32_t exponent = static_cast<int32_t>(shifted) >> 23;
  const float f = floatOf((shifted & 0x7fffffu) + 0x3f3504f3u) - 1.0f;
  const float k = static_cast<float>(exponent - (subnormal ? 23 : 0));
  const float s = f / (2.0f + f), z = s * s;
  const float R = z * fma(z, fma(z, fma(z, 0.235849306f, 0.285371721f), 0.400003374f), 0.666666627f);
  const float half = 0.5f * f * f;
  const float value = fma(k, kLn2Head, f - (half - fma(s, half + R, k * kLn2Tail)));
  const float infinity = __builtin_inff();
  const float special = x == 0.0f ? -infinity : x == infinity ? infinity : __builtin_nanf("");
  return x > 0.0f && x < infinity ? value : special;
}

// Near 0 a polynomial, else (1 - e) / (1 + e) with e = exp(-2 |x|).
inline float tanh(float x) {
  const float magnitude = abs(x), z = x * x;
  const float p = fma(fma(fma(fma(-0.00566699356f, z, 0.0206061937f), z, -0.0537300147f), z, 0.133313313f), z, -0.333332777f);
  const float near = fma(magnitude * z, p, magnitude);
  const float e = expFlushed(-2.0f * magnitude);
  return withSignOf(magnitude < 0.625f ? near : (1.0f - e) / (1.0f + e), x);
}

inline float sigmoid(float x) {
  const float e = expNegative(-abs(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
inline float siluGrad(float x) { return sigmoid(x) * (1.0f + x * sigmoid(-x)); }

// exp(-y^2 / 2), y >= 0. The square is rounded, so what is lost of it goes into the rest of the reduction. From 14.5 on the result is 0.
inline float gaussian(float y) {
  const float bounded = y > 14.5f ? 14.5f : y, square = bounded * bounded;
  const Reduced of = reduced(-0.5f * square);
  const float rest = fma(-0.5f, fma(bounded, bounded, -square), of.rest);
  return expNear0(rest) * floatOf(of.exponent + (191u << 23)) * 5.42101086e-20f;
}

// The normal distribution's upper tail, 0.5 erfc(y / sqrt(2)) for y >= 0, divided by exp(-y^2 / 2): a polynomial in 1 / (1 + 0.35 y).
inline float scaledTail(float y) {
  const float t = 1.0f / fma(0.35f, y, 1.0f);
  float p = -0.0291581452f;
  p = fma(p, t, 0.144032061f);
  p = fma(p, t, -0.255841106f);
  p = fma(p, t, 0.15932183f);
  p = fma(p, t, -0.0232136399f);
  p = fma(p, t, 0.105552971f);
  p = fma(p, t, 0.119821183f);
  p = fma(p, t, 0.139863521f);
  p = fma(p, t, 0.139621302f);
  return p * t;
}

inline float erf(float x) {
  const float z = x * x, y = abs(x) * 1.41421356f;
  float p = 7.85400844e-05f;
  p = fma(p, z, -0.000801024202f);
  p = fma(p, z, 0.0051883338f);
  p = fma(p, z, -0.0268538147f);
  p = fma(p, z, 0.112835854f);
  p = fma(p, z, -0.37612626f);
  p = fma(p, z, 1.12837911f);
  const float far = fma(-2.0f * gaussian(y), scaledTail(y), 1.0f);
  return z < 1.0f ? x * p : withSignOf(far, x);
}

// x times the normal distribution function, which is the tail on the left and 1 - tail on the right.
inline float gelu(float x) {
  const float tail = gaussian(abs(x)) * scaledTail(abs(x));
  return x * (x < 0.0f ? tail : 1.0f - tail);
}
inline float geluGrad(float x) {
  const float e = gaussian(abs(x)), tail = e * scaledTail(abs(x));
  return (x < 0.0f ? tail : 1.0f - tail) + x * 0.398942280f * e;
}

constexpr float kSqrt8OverPi = 1.59576912f, kGeluCubic = 0.044715f;

inline float geluTanh(float x) { return x * sigmoid(kSqrt8OverPi * fma(kGeluCubic * x * x, x, x)); }
inline float geluTanhGrad(float x) {
  const float u = kSqrt8OverPi * fma(kGeluCubic * x * x, x, x), s = sigmoid(u);
  return s + x * s * sigmoid(-u) * kSqrt8OverPi * (1.0f + 3.0f * kGeluCubic * x * x);
}

}  // namespace math
}  // namespace
}  // namespace quanto::cpu
