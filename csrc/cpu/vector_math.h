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

// A minimax polynomial for exp(r), |r| <= ln 2 / 2.
inline float expNear0(float r) {
  const float q = (((0.00138145965f * r + 0.00836871751f) * r + 0.041668389f) * r + 0.166665211f) * r + 0.49999994f;
  return 1.0f + (r + r * r * q);
}

// exp(x + correction), the correction being tiny: 2^n exp(r) with |r| <= ln 2 / 2.
// 2^n is applied in two halves, each a normal number, so that the result may be subnormal or overflow.
inline float exp(float x, float correction = 0.0f) {
  float y = x < -104.0f ? -104.0f : x;
  y = y > 89.0f ? 89.0f : y;
  const float shifted = y * 1.44269504f + kRoundingShift;
  const float n = shifted - kRoundingShift;
  const int32_t exponent = static_cast<int32_t>(bitsOf(shifted) - bitsOf(kRoundingShift));
  const float p = expNear0((y - n * kLn2Head) - (n * kLn2Tail - correction));
  const int32_t half = exponent >> 1;
  const float first = floatOf(static_cast<uint32_t>(half + 127) << 23);
  const float second = floatOf(static_cast<uint32_t>(exponent - half + 127) << 23);
  return p * first * second;
}

// exp(x) for x <= 0, in fewer steps: 0 where it would be below the normal numbers. From -87.7 down n is -127, whose power of two is made as
// 0.
inline float expNegative(float x) {
  const float y = x < -88.0f ? -88.0f : x;
  const float shifted = y * 1.44269504f + kRoundingShift;
  const float n = shifted - kRoundingShift;
  return expNear0((y - n * kLn2Head) - n * kLn2Tail) * floatOf((bitsOf(shifted) << 23) + (127u << 23));
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
  const float R = z * (0.666666627f + z * (0.400003374f + z * (0.285371721f + z * 0.235849306f)));
  const float half = 0.5f * f * f;
  const float value = k * kLn2Head + (f - (half - (s * (half + R) + k * kLn2Tail)));
  const float infinity = __builtin_inff();
  const float special = x == 0.0f ? -infinity : x == infinity ? infinity : __builtin_nanf("");
  return x > 0.0f && x < infinity ? value : special;
}

// Near 0 a polynomial, else 1 - 2 / (exp(2 |x|) + 1).
inline float tanh(float x) {
  const float magnitude = abs(x), z = x * x;
  const float p = (((-0.00566699356f * z + 0.0206061937f) * z - 0.0537300147f) * z + 0.133313313f) * z - 0.333332777f;
  const float near = magnitude + magnitude * z * p;
  const float far = 1.0f - 2.0f / (exp(2.0f * magnitude) + 1.0f);
  return withSignOf(magnitude < 0.625f ? near : far, x);
}

inline float sigmoid(float x) {
  const float e = exp(-abs(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
inline float siluGrad(float x) { return sigmoid(x) * (1.0f + x * sigmoid(-x)); }

// exp(-y^2 / 2). The square is rounded, so what is lost of it goes in as a correction (Dekker's product).
inline float gaussian(float y) {
  const float square = y * y;
  const float head = floatOf(bitsOf(y) & 0xfffff000u), tail = y - head;
  const float lost = ((head * head - square) + 2.0f * head * tail) + tail * tail;
  // Past 14 the result is 0; an infinite square has no remainder.
  return exp(-0.5f * square, y < 14.0f ? -0.5f * lost : 0.0f);
}

// The normal distribution's upper tail, 0.5 erfc(y / sqrt(2)) for y >= 0, divided by exp(-y^2 / 2): a polynomial in 1 / (1 + 0.35 y).
inline float scaledTail(float y) {
  const float t = 1.0f / (1.0f + 0.35f * y);
  float p = -0.0291581452f;
  p = p * t + 0.144032061f;
  p = p * t - 0.255841106f;
  p = p * t + 0.15932183f;
  p = p * t - 0.0232136399f;
  p = p * t + 0.105552971f;
  p = p * t + 0.119821183f;
  p = p * t + 0.139863521f;
  p = p * t + 0.139621302f;
  return p * t;
}

inline float erf(float x) {
  const float z = x * x, y = abs(x) * 1.41421356f;
  float p = 7.85400844e-05f;
  p = p * z - 0.000801024202f;
  p = p * z + 0.0051883338f;
  p = p * z - 0.0268538147f;
  p = p * z + 0.112835854f;
  p = p * z - 0.37612626f;
  p = p * z + 1.12837911f;
  const float far = 1.0f - 2.0f * gaussian(y) * scaledTail(y);
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

inline float geluTanh(float x) { return x * sigmoid(kSqrt8OverPi * (x + kGeluCubic * x * x * x)); }
inline float geluTanhGrad(float x) {
  const float u = kSqrt8OverPi * (x + kGeluCubic * x * x * x), s = sigmoid(u);
  return s + x * s * sigmoid(-u) * kSqrt8OverPi * (1.0f + 3.0f * kGeluCubic * x * x);
}

}  // namespace math
}  // namespace
}  // namespace quanto::cpu
