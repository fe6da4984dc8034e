// The source of the AMX kernel on emulated tiles, against exact sums. On a machine with AMX the other tests run the real one.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.h"
#include "cpu/attention.h"
#include "cpu/gemm/gemm.h"
#include "cpu/gemm/gemm_digits.h"
#include "cpu/pool.h"

#define QUANTO_EMULATE_AMX
#include "cpu/gemm/bits_product.h"
#include "cpu/gemm/int8_amx_body.h"
#include "cpu/gemm/weight_bits_loops.h"
#include "cpu/gemm/weight_bits_tiles.h"

using namespace quanto;
using namespace quanto::cpu;

namespace {

const Int8Kernel kEmulated = makeAmxKernel("emulated amx", scaleTile);

// The loops of weight_bits_amx.cpp in portable C++.

template <class Sum>
void accumulateBits(const BitsSums<Sum>& sums) {
  for (int64_t i = 0; i < sums.rows; ++i) {
    for (int j = 0; j < sums.panels * kBitsColumns; ++j) {
      const int64_t at = j / kBitsColumns * sums.scaleStride + j % kBitsColumns;
      float& c = sums.c[i * 2 * kBitsColumns + j];
      c += sums.scale[at] * static_cast<float>(sums.sums[i * 2 * kBitsColumns + j]);
      if (sums.offset) c += sums.offset[at] * sums.aSums[i * sums.aStride];
    }
  }
}

// Code l of a column in a vector, centred.
float codeAt(BitsCode code, const uint8_t* vector, int column, int l) {
  if (code == BitsCode::e4m3fn) return toFloat<DType::float8_e4m3fn>(vector[l * kBitsColumns + column]) / float8Factor(code);
  uint32_t packed;
  std::memcpy(&packed, vector + 4 * column, 4);
  return static_cast<float>(static_cast<int32_t>(packed << (32 - bitsOf(code) * (l + 1))) >> (32 - bitsOf(code)));
}

template <class Element, int group, class Narrow>
void widenCodes(BitsCode code, int64_t vectors, const uint8_t* codes, Element* out, Narrow narrow) {
  const auto values = static_cast<int>(bitsValues(code));
  for (int64_t v = 0; v < vectors; ++v, codes += kBitsVector, out += kBitsColumns * values) {
    for (int j = 0; j < kBitsColumns; ++j) {
      for (int l = 0; l < values; ++l) out[(l / group * kBitsColumns + j) * group + l % group] = narrow(codeAt(code, codes, j, l));
    }
  }
}
void widenBits(BitsCode code, int64_t vectors, const uint8_t* codes, int8_t* out) {
  widenCodes<int8_t, 4>(code, vectors, codes, out, [](float value) { return static_cast<int8_t>(value); });
}
void widenBitsReal(BitsCode code, int64_t vectors, const uint8_t* codes, uint16_t* out) {
  widenCodes<uint16_t, 2>(code, vectors, codes, out, [](float value) { return fromFloat<DType::bfloat16>(value); });
}

const BitsTiles kEmulatedBits = {
    &kEmulated, widenBits, accumulateBits<int32_t>, widenBitsReal, splitTerms, tileTerms, accumulateBits<float>, 0, 0, 0};

check::Random random_(11);

void productCase(int64_t m, int64_t n, int64_t k, bool usePacked, bool extreme) {
  std::vector<int8_t> a(m * k + 1), weight(n * k + 1), packed(packedInt8Bytes(n, k) + 1);
  for (auto& code : a) code = extreme ? -128 : random_.code();
  for (auto& code : weight) code = extreme ? -128 : random_.code();
  packInt8(n, k, weight.data(), k, 1, packed.data());
  const Int8Weight form = usePacked ? Int8Weight{packed.data(), 0, 0, true} : Int8Weight{weight.data(), k, 1, false};
  constexpr int32_t kUntouched = 0x55555555;
  std::vector<int32_t> out(m * (n + 3), kUntouched);
  setThreadCount(1 + static_cast<int>(random_.bits() % 3));
  CHECK(gemmInt8(m, n, k, a.data(), k, 1, form, out.data(), n + 3, 1, kEmulated) == Status::ok, "gemmInt8 failed");
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n + 3; ++j) {
      int64_t sum = kUntouched;
      if (j < n) {
        sum = 0;
        for (int64_t l = 0; l < k; ++l) sum += int64_t{a[i * k + l]} * weight[j * k + l];
      }
      const int32_t got = out[i * (n + 3) + j];
      if (!CHECK(got == sum, "amx m=%ld n=%ld k=%ld at %ld,%ld: %d expected %ld", long(m), long(n), long(k), long(i), long(j), got,
                 long(sum)))
        return;
    }
  }
}

// Quantized, scaled and quantized again, as the reference kernel does it.
void layerCase(int64_t m, int64_t n, int64_t k) {
  std::vector<float> src(m * k + 1), scale(n), bias(n);
  for (auto& value : src) value = random_.symmetric();
  for (auto& value : scale) value = 0.01f + 0.005f * random_.symmetric();
  for (auto& value : bias) value = random_.symmetric();
  std::vector<int8_t> weight(n * k + 1), expected(m * n), out(m * n);
  for (auto& code : weight) code = random_.code();
  const float codeScale = 0.05f;
  const auto layer = [&](std::vector<int8_t>& to, const Int8Kernel& kernel) {
    const Int8Source source{src.data(), DType::float32, k, 1, {}};
    const FloatOutput real{to.data(), DType::int8, n, 1, bias.data(), DType::float32, 1};
    const Int8Output output{real, DType::float32, Activation::gelu, {&codeScale, DType::float32, 0}};
    const Int8Weight rowMajor{weight.data(), k, 1, false};
    CHECK(gemmInt8Scaled(m, n, k, source, rowMajor, {scale.data(), DType::float32, 1}, output, kernel) == Status::ok,
          "gemmInt8Scaled failed");
  };
  layer(expected, kInt8Ref);
  layer(out, kEmulated);
  CHECK(out == expected, "amx layer m=%ld n=%ld k=%ld differs from the reference", long(m), long(n), long(k));
}

// Real rows by digits: within the bound of a float32 sum (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), and of what
// `precision` may move values below 1.
void digitsCase(int64_t m, int64_t n, int64_t k, Precision precision) {
  std::vector<float> a(m * k + 1), out(m * n + 1, 7.0f), bias(n);
  for (auto& value : a) value = random_.symmetric();
  for (auto& value : bias) value = random_.symmetric();
  const float scale = 0.25f;
  std::vector<int8_t> weight(n * k + 1);
  for (auto& code : weight) code = random_.code();
  bool fit = false;
  CHECK(gemmByDigits(m, n, k, {a.data(), DType::float32, k, 1}, {weight.data(), k, 1, false}, {&scale, DType::float32, 0},
                     {out.data(), DType::float32, n, 1, bias.data(), DType::float32, 1}, precision, kEmulated, &fit) == Status::ok,
        "gemmByDigits failed");
  CHECK(fit && out[m * n] == 7, "gemmByDigits m=%ld n=%ld k=%ld wrote past its output", long(m), long(n), long(k));
  for (int64_t i = 0; i < m * n; ++i) {
    double sum = bias[i % n], magnitudes = std::fabs(sum), moved = 0;
    for (int64_t l = 0; l < k; ++l) {
      const double product = double{scale} * a[i / n * k + l] * weight[i % n * k + l];
      sum += product, magnitudes += std::fabs(product), moved += scale * std::fabs(weight[i % n * k + l]);
    }
    const double rounding = precision == Precision::highest ? 0x1p-30 : 0x1p-14;
    const double allowed = static_cast<double>(k + 5) * 0x1p-24 * magnitudes + rounding * moved;
    if (!CHECK(std::fabs(out[i] - sum) <= allowed, "digits m=%ld n=%ld k=%ld: %.9g expected %.9g", long(m), long(n), long(k), out[i], sum))
      return;
  }
  if (m * k == 0) return;
  a[m * k - 1] = INFINITY;
  CHECK(gemmByDigits(m, n, k, {a.data(), DType::float32, k, 1}, {weight.data(), k, 1, false}, {&scale, DType::float32, 0},
                     {out.data(), DType::float32, n, 1, nullptr, DType::float32, 0}, precision, kEmulated, &fit) == Status::ok &&
            !fit,
        "an infinity has no digits");
}

// Three terms are the value, one is the nearest bfloat16, and two are between.
void termsCase() {
  std::vector<float> values = {0, -0.0f, 1, 0x1.01p0f, 0x1.03p0f, 0x1.00ffp0f, 0x1.fffffep127f, -0x1p-126f, INFINITY, -INFINITY, NAN};
  for (int i = 0; i < 1000; ++i) values.push_back(std::ldexp(random_.symmetric(), static_cast<int>(random_.bits() % 80) - 40));
  const auto count = static_cast<int64_t>(values.size());
  for (int terms = 1; terms <= 3; ++terms) {
    std::vector<uint16_t> split(terms * count);
    splitTerms(terms, count, values.data(), split.data(), count);
    for (int64_t i = 0; i < count; ++i) {
      double sum = 0;
      for (int term = terms - 1; term >= 0; --term) sum += toFloat<DType::bfloat16>(split[term * count + i]);
      const float expected = terms == 1 ? toFloat<DType::bfloat16>(fromFloat<DType::bfloat16>(values[i])) : values[i];
      const double allowed = terms == 2 && std::isfinite(expected) ? std::fabs(expected) * 0x1p-16 : 0;
      CHECK(sum == expected || std::fabs(sum - expected) <= allowed || (std::isnan(sum) && std::isnan(expected)),
            "%.9g in %d terms is %.9g", values[i], terms, sum);
    }
  }
}

// Weights of few bits: int8 rows give what the machine's own kernel gives, real ones float32 sums of dequantized weights.
void bitsCase(int64_t m, int64_t n, int64_t groups, int64_t size, DType dtype, int32_t bits) {
  const int64_t k = groups * size;
  BitsWeight weight{nullptr, dtype, bits, size};
  const bool real8 = bits == 8;
  std::vector<uint8_t> file(n * k + 16), packed(packedBitsBytes(n, k, weight) + 64);
  for (auto& byte : file) byte = static_cast<uint8_t>(random_.bits()) & (real8 ? 0x77 : 0xff);  // no NaN among float8
  packBitsWeight(n, k, weight, file.data(), packed.data());
  weight.data = packed.data();
  std::vector<float> scale(n * groups), shift(n * groups), a(m * k), bias(n), out(m * n + 1, 7.0f), expected(m * n + 1, 7.0f);
  for (auto& value : scale) value = 0.5f + std::fabs(random_.symmetric());
  for (auto& value : shift) value = 4 * random_.symmetric();
  for (auto& value : a) value = random_.symmetric();
  for (auto& value : bias) value = random_.symmetric();
  const Scales scales{scale.data(), DType::float32, 1}, shifts{real8 ? nullptr : shift.data(), DType::float32, 1};
  const auto target = [&](std::vector<float>& to) { return FloatOutput{to.data(), DType::float32, n, 1, bias.data(), DType::float32, 1}; };
  const FloatOutput first = target(out), second = target(expected);
  const Matrix left{a.data(), DType::float32, k, 1};
  CHECK(gemmBits(m, n, k, left, weight, scales, shifts, second) == Status::ok, "gemmBits failed");
  const struct {
    Precision precision;
    double rounding;
  } precisions[] = {{Precision::highest, 0}, {Precision::high, 0x1p-17}, {Precision::medium, 0x1p-9}};
  for (const auto& [precision, rounding] : precisions) {
    CHECK(gemmBitsByTerms(m, n, k, left, weight, scales, shifts, first, precision, kEmulatedBits) == Status::ok && out[m * n] == 7,
          "gemmBitsByTerms failed");
    // Plain bfloat16 is what the nearest values give, to the bit; shifts, which float8 has none of, meet the values themselves.
    if (real8 && precision == Precision::medium) {
      std::vector<float> nearest(a), same(out.size(), 7.0f);
      for (auto& value : nearest) value = toFloat<DType::bfloat16>(fromFloat<DType::bfloat16>(value));
      const Matrix rounded{nearest.data(), DType::float32, k, 1};
      CHECK(gemmBitsByTerms(m, n, k, rounded, weight, scales, shifts, target(same), Precision::highest, kEmulatedBits) == Status::ok,
            "gemmBitsByTerms failed");
      CHECK(out == same, "bits %d m=%ld n=%ld k=%ld: not what bfloat16 values give", bits, long(m), long(n), long(k));
    }
    for (int64_t i = 0; i < m * n; ++i) {
      // Twice the bound of a float32 sum: both have it. Codes and their centre are at most 16, or 240 of float8 here.
      const double magnitude = static_cast<double>(k) * (real8 ? 1.5 * 240 : 1.5 * 16 + 4) + 1;
      const double allowed = (2 * static_cast<double>(k + 6) * 0x1p-24 + rounding) * magnitude;
      if (!CHECK(std::fabs(out[i] - expected[i]) <= allowed, "bits %d m=%ld n=%ld k=%ld group %ld: %.9g expected %.9g", bits, long(m),
                 long(n), long(k), long(size), out[i], expected[i]))
        return;
    }
  }
  if (real8) return;
  std::vector<int8_t> codes(m * k + 1);
  for (auto& code : codes) code = random_.code();
  const float rowScale = 0.25f;
  const Int8Source given{codes.data(), DType::int8, k, 1, {&rowScale, DType::float32, 0}}, dynamic{a.data(), DType::float32, k, 1, {}};
  for (const Int8Source* rows : {&given, &dynamic}) {
    CHECK(gemmBitsInt8ByTiles(m, n, k, *rows, weight, scales, shifts, first, kEmulatedBits) == Status::ok &&
              gemmBitsInt8(m, n, k, *rows, weight, scales, shifts, second) == Status::ok,
          "gemmBitsInt8ByTiles failed");
    CHECK(out == expected, "bits %d m=%ld n=%ld k=%ld group %ld: rows of %s differ", bits, long(m), long(n), long(k), long(size),
          rows == &given ? "codes" : "floats");
  }
}

// Attention by codes has the bits of the reference kernel.
void attentionCase(int64_t length, int64_t keys, int64_t width, int64_t valueWidth) {
  constexpr int64_t kHeads = 2;
  const auto codesOf = [](int64_t count) {
    std::vector<int8_t> codes(count + 1);
    for (auto& code : codes) code = random_.code();
    return codes;
  };
  std::vector<int8_t> q = codesOf(kHeads * length * width), k = codesOf(kHeads * keys * width), v = codesOf(kHeads * keys * valueWidth);
  std::vector<float> out(kHeads * length * valueWidth + 1, 7.0f), expected = out;
  const float scoreScale = 1e-4f, valueScale = 0.01f;
  const auto viewOf = [](void* data, DType dtype, int64_t rows, int64_t columns) {
    return View{data,
                static_cast<int32_t>(dtype),
                4,
                Layout::strided,
                {1, kHeads, rows, columns},
                {kHeads * rows * columns, rows * columns, columns, 1}};
  };
  const View query = viewOf(q.data(), DType::int8, length, width), key = viewOf(k.data(), DType::int8, keys, width),
             value = viewOf(v.data(), DType::int8, keys, valueWidth);
  const auto attend = [&](const Int8Kernel& kernel, std::vector<float>& to) {
    const View target = viewOf(to.data(), DType::float32, length, valueWidth);
    const Attention call{floatKernel(), kernel, query, key, value, target, nullptr, 1, &scoreScale, &valueScale, true, keys - length};
    const int64_t columns = codeColumns(call), tiles = (length + columns - 1) / columns;
    const CodeMemory plan = planCodes(call, tiles);
    std::vector<char> memory(plan.bytes + 64);
    char* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64);
    for (int64_t head = 0; head < kHeads; ++head) runCodes(call, {0, head}, 0, tiles, plan, aligned);
  };
  attend(kInt8Ref, expected);
  attend(kEmulated, out);
  CHECK(out == expected && out.back() == 7, "amx attention length=%ld keys=%ld width=%ld values=%ld differs from the reference",
        long(length), long(keys), long(width), long(valueWidth));
}

}  // namespace

int main() {
  constexpr int64_t kSizes[] = {1, 7, 15, 16, 17, 32, 33, 50, 63, 64, 65, 127};
  int index = 0;
  for (const int64_t m : kSizes) {
    for (const int64_t n : kSizes) {
      for (const int64_t k : kSizes) {
        ++index;
        productCase(m, n, k, index % 2, index % 7 == 0);
        if (index % 5 == 0) layerCase(m, n, k);
        if (index % 3 == 0) digitsCase(m, n, k, index % 2 ? Precision::high : Precision::highest);
      }
    }
  }
  for (const int64_t m : {1, 17, 33}) {
    for (const int64_t n : {1, 16, 33, 50}) {
      for (const int64_t size : {1, 31, 32, 96, 130, 600}) {
        for (const int64_t groups : {1, 3}) {
          bitsCase(m, n, groups, size, DType::uint8, 4);
          bitsCase(m, n, groups, size, DType::uint8, 2);
          bitsCase(m, n, groups, size, DType::float8_e4m3fn, 8);
        }
      }
    }
  }
  for (const int64_t length : {1, 17, 65}) {
    for (const int64_t keys : {1, 15, 33, 127, 300}) {
      for (const int64_t width : {1, 33, 64, 600}) attentionCase(length, keys, width, 127 - width % 127);
    }
  }
  termsCase();
  for (const int64_t k : {0, 3, 1030}) {
    productCase(70, 70, k, true, false);
    digitsCase(9, 70, k, Precision::highest);
    digitsCase(9, 70, k, Precision::high);
  }
  productCase(3, 20, 131071, true, true);
  productCase(0, 5, 3, true, false);
  return check::report("amx_test");
}
