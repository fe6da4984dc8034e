// Products with weights of 2 and 4 bits and of float8 against float64 oracles, under every instruction set of the machine.
#include <cmath>
#include <cstring>
#include <vector>

#include "bits_formats.h"
#include "check.h"
#include "cpu/gemm/gemm.h"
#include "cpu/pool.h"
#include "every_isa.h"

using namespace quanto;
using namespace quanto::cpu;
using bits::Format, bits::kFormats, bits::valueOf;

namespace {

check::Random random_(1);

// A weight with its codes in rows, as files hold them, and packed.
struct TestWeight {
  Format format;
  int64_t n, k, groupSize, groups;
  std::vector<uint8_t> codes, file, packed;
  std::vector<float> scale, shift;

  // With `extreme` a row has either all largest codes or all smallest ones.
  TestWeight(const Format& of, int64_t rows, int64_t columns, int64_t size, bool extreme = false)
      : format(of), n(rows), k(columns), groupSize(size), groups(columns == 0 ? 0 : columns / size) {
    codes.resize(n * k);
    for (auto& code : codes) {
      // Of float8 finite values only: what NaN does is a test of its own.
      do code = static_cast<uint8_t>(random_.bits() >> 9);
      while (format.bits == 8 && !(std::fabs(valueOf(format, code)) < 1e30));
      if (format.bits < 8) code &= (1 << format.bits) - 1;
    }
    for (int64_t i = 0; extreme && i < n * k; ++i) codes[i] = i / k % 2 == 0 ? static_cast<uint8_t>((1 << format.bits) - 1) : 0;
    scale.resize(n * groups);
    shift.resize(n * groups);
    for (auto& value : scale) value = 0.5f + std::fabs(random_.symmetric());
    for (auto& value : shift) value = 4 * random_.symmetric();
    if (format.bits == 8) {
      file = codes;
    } else {
      const int64_t together = 8 / format.bits, all = n * groups, packedRows = (all + together - 1) / together;
      file.assign(packedRows * groupSize, 0);
      for (int64_t row = 0; row < all; ++row) {
        for (int64_t l = 0; l < groupSize; ++l)
          file[row % packedRows * groupSize + l] |= static_cast<uint8_t>(codes[row * groupSize + l] << (row / packedRows * format.bits));
      }
    }
    packed.assign(packedBitsBytes(n, k, view(nullptr)) + 1, 0xab);
    packBitsWeight(n, k, view(nullptr), file.data(), packed.data());
  }

  BitsWeight view(const void* data) const { return {data, format.dtype, format.bits, groupSize}; }
  bool shifted() const { return format.bits < 8; }
  double at(int64_t j, int64_t l) const {
    const int64_t group = j * groups + l / groupSize;
    return scale[group] * valueOf(format, codes[j * k + l]) - (shifted() ? shift[group] : 0);
  }
  // What the terms of a sum may be as large as, on their way.
  double largest(int64_t j, int64_t l) const {
    const int64_t group = j * groups + l / groupSize;
    const double center = format.bits == 8 ? 0 : 1 << (format.bits - 1);
    return scale[group] * (std::fabs(valueOf(format, codes[j * k + l])) + 2 * center) + (shifted() ? std::fabs(shift[group]) : 0);
  }
};

std::vector<float> product(const TestWeight& weight, int64_t m, const std::vector<float>& a, const std::vector<float>& bias) {
  std::vector<float> out(m * weight.n + 8, -77.0f);
  const Matrix left{a.data(), DType::float32, weight.k, 1};
  const FloatOutput target{out.data(), DType::float32, weight.n, 1, bias.empty() ? nullptr : bias.data(), DType::float32, 1};
  const Scales scales{weight.scale.data(), DType::float32, 1}, none{nullptr, DType::float32, 0};
  const Scales shifts{weight.shift.data(), DType::float32, 1};
  const Status status =
      gemmBits(m, weight.n, weight.k, left, weight.view(weight.packed.data()), scales, weight.shifted() ? shifts : none, target);
  CHECK(status == Status::ok, "gemmBits failed");
  for (size_t i = m * weight.n; i < out.size(); ++i) CHECK(out[i] == -77.0f, "wrote past its end");
  return out;
}

void testProduct(const Format& format, int64_t m, int64_t n, int64_t k, int64_t groupSize, bool withBias) {
  const TestWeight weight(format, n, k, groupSize);
  CHECK(weight.packed.back() == 0xab, "packed past its end");
  std::vector<uint8_t> back(weight.file.size(), 0xcd);
  unpackBitsWeight(n, k, weight.view(nullptr), weight.packed.data(), back.data());
  CHECK(back == weight.file, "%s %lldx%lld groups of %lld: not unpacked as they were", format.name, static_cast<long long>(n),
        static_cast<long long>(k), static_cast<long long>(groupSize));
  std::vector<float> a(m * k), bias(withBias ? n : 0);
  for (auto& value : a) value = random_.symmetric();
  for (auto& value : bias) value = random_.symmetric();
  const std::vector<float> out = product(weight, m, a, bias);
  setThreadCount(1);
  const std::vector<float> single = product(weight, m, a, bias);
  setThreadCount(3);
  CHECK(std::memcmp(out.data(), single.data(), out.size() * sizeof(float)) == 0, "depends on the thread count");
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = withBias ? bias[j] : 0, magnitude = std::fabs(sum);
      for (int64_t l = 0; l < k; ++l) {
        sum += a[i * k + l] * weight.at(j, l);
        magnitude += std::fabs(a[i * k + l]) * weight.largest(j, l);
      }
      const double error = std::fabs(out[i * n + j] - sum), bound = (static_cast<double>(k) + 6) * std::ldexp(1, -24) * magnitude;
      CHECK(error <= bound, "%s M=%lld N=%lld K=%lld group %lld: [%lld, %lld] is %g, not %g", format.name, static_cast<long long>(m),
            static_cast<long long>(n), static_cast<long long>(k), static_cast<long long>(groupSize), static_cast<long long>(i),
            static_cast<long long>(j), static_cast<double>(out[i * n + j]), sum);
    }
  }
}

// The left operand of an integer product: codes, or real values that become codes.
enum class From { codes, apart, given, dynamic, extremes };
constexpr From kFrom[] = {From::codes, From::apart, From::given, From::dynamic, From::extremes};

// Rows of it, the codes that are expected of them, and their scales, `step` apart.
struct TestRows {
  int64_t stride, apart, step;
  std::vector<int8_t> codes;
  std::vector<float> values, scale;
  From from;

  TestRows(From kind, int64_t m, int64_t k) : apart(kind == From::apart || kind == From::given ? 2 : 1), from(kind) {
    stride = apart * k + 5;
    step = kind == From::dynamic ? 1 : kind == From::given ? 0 : random_.bits() % 2;
    codes.resize(m * stride + 1);
    values.resize(m * stride + 1);
    scale.resize(m + 1);
    for (auto& code : codes) code = random_.code();
    for (int64_t i = 0; kind == From::extremes && i < m; ++i)
      std::fill_n(codes.begin() + i * stride, stride, i % 2 == 0 ? int8_t{-128} : int8_t{127});
    for (auto& value : values) value = random_.symmetric();
    // Quotients past the largest codes too.
    for (auto& value : scale) value = kind == From::given ? 0.006f : 0.1f + std::fabs(random_.symmetric());
    if (kind != From::given && kind != From::dynamic) return;
    for (int64_t i = 0; i < m; ++i) {
      if (kind == From::dynamic) {
        // A row of zeros has codes 0.
        if (i == 2) std::fill_n(values.begin() + i * stride, stride, 0.0f);
        float largest = 0;
        for (int64_t l = 0; l < k; ++l) largest = std::fmax(largest, std::fabs(values[i * stride + l]));
        scale[i] = largest / 127;
      }
      for (int64_t l = 0; l < k; ++l) {
        const float quotient = scale[i * step] == 0 ? 0 : values[i * stride + l * apart] / scale[i * step];
        codes[i * stride + l * apart] = static_cast<int8_t>(std::nearbyint(std::fmin(127.0f, std::fmax(-128.0f, quotient))));
      }
    }
  }
  int32_t at(int64_t i, int64_t l) const { return codes[i * stride + l * apart]; }
  Int8Source source() const {
    const Scales scales{from == From::dynamic ? nullptr : scale.data(), DType::float32, step};
    if (from != From::given && from != From::dynamic) return {codes.data(), DType::int8, stride, apart, scales};
    return {values.data(), DType::float32, stride, apart, scales};
  }
};

// Integer sums of each group, then float steps in a fixed order, so the result is the same to the bit everywhere.
void testIntegers(const Format& format, From from, int64_t m, int64_t n, int64_t k, int64_t groupSize, bool withBias) {
  const TestWeight weight(format, n, k, groupSize, from == From::extremes);
  const TestRows rows(from, m, k);
  std::vector<float> bias(withBias ? n : 0), out(m * n + 8, -77.0f);
  for (auto& value : bias) value = random_.symmetric();
  const Scales scales{weight.scale.data(), DType::float32, 1}, shifts{weight.shift.data(), DType::float32, 1};
  const FloatOutput target{out.data(), DType::float32, n, 1, withBias ? bias.data() : nullptr, DType::float32, 1};
  setThreadCount(1 + static_cast<int>(random_.bits() % 3));
  const Status status = gemmBitsInt8(m, n, k, rows.source(), weight.view(weight.packed.data()), scales, shifts, target);
  CHECK(status == Status::ok, "gemmBitsInt8 failed");
  const int center = 1 << (format.bits - 1);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      float total = 0;
      for (int64_t group = 0; group < weight.groups; ++group) {
        int32_t sum = 0, ofA = 0;
        for (int64_t l = group * groupSize; l < (group + 1) * groupSize; ++l) {
          sum += rows.at(i, l) * (weight.codes[j * k + l] - center);
          ofA += rows.at(i, l);
        }
        const float scale = weight.scale[j * weight.groups + group];
        const float offset = static_cast<float>(center) * scale - weight.shift[j * weight.groups + group];
        total += scale * static_cast<float>(sum);
        total += offset * static_cast<float>(ofA);
      }
      total *= rows.scale[i * rows.step];
      if (withBias) total += bias[j];
      CHECK(out[i * n + j] == total, "%s int8 (%d) M=%d N=%d K=%d group %d: [%d, %d] is %g, not %g", format.name, static_cast<int>(from),
            static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), static_cast<int>(groupSize), static_cast<int>(i),
            static_cast<int>(j), static_cast<double>(out[i * n + j]), static_cast<double>(total));
    }
  }
  for (size_t i = m * n; i < out.size(); ++i) CHECK(out[i] == -77.0f, "wrote past its end");
  setThreadCount(3);
}

void testSizes(const Format& format) {
  // M, N, K, group size.
  constexpr int64_t kCases[][4] = {{1, 1, 1, 1},       {1, 7, 15, 15},   {7, 15, 17, 17},     {15, 17, 33, 11}, {17, 33, 50, 25},
                                   {33, 50, 63, 9},    {50, 63, 65, 13}, {63, 65, 127, 127},  {2, 127, 96, 32}, {3, 65, 128, 32},
                                   {4, 33, 1024, 128}, {5, 16, 192, 96}, {65, 127, 640, 128}, {127, 1, 7, 7},   {34, 48, 1100, 1100},
                                   {1, 127, 2, 1},     {0, 5, 8, 4},     {3, 0, 8, 4},        {3, 5, 0, 1},     {40, 5, 0, 1},
                                   {300, 49, 544, 32}};
  for (const auto& [m, n, k, groupSize] : kCases) {
    testProduct(format, m, n, k, groupSize, false);
    testProduct(format, m, n, k, groupSize, true);
    if (format.bits == 8) continue;
    for (const From from : kFrom) {
      for (const bool withBias : {false, true}) testIntegers(format, from, m, n, k, groupSize, withBias);
    }
  }
}

// Other dtypes of the operands, and strides: the same numbers as with float32 in rows.
void testOperands(const Format& format, int64_t m) {
  const int64_t n = 33, k = 50, groupSize = 25;
  const TestWeight weight(format, n, k, groupSize);
  std::vector<uint16_t> narrow(2 * m * k), scales(n * weight.groups), shifts(n * weight.groups), out(n * m);
  std::vector<float> plain(m * k);
  TestWeight same = weight;
  for (int64_t i = 0; i < m * k; ++i) {
    narrow[2 * i] = fromFloat<DType::float16>(random_.symmetric());
    plain[i] = toFloat<DType::float16>(narrow[2 * i]);
  }
  for (size_t i = 0; i < scales.size(); ++i) {
    scales[i] = fromFloat<DType::bfloat16>(weight.scale[i]);
    shifts[i] = fromFloat<DType::bfloat16>(weight.shift[i]);
    same.scale[i] = toFloat<DType::bfloat16>(scales[i]);
    same.shift[i] = toFloat<DType::bfloat16>(shifts[i]);
  }
  const std::vector<float> expected = product(same, m, plain, {});
  // Columns of the output lie apart.
  const FloatOutput target{out.data(), DType::float16, 1, m, nullptr, DType::float32, 0};
  const Scales none{nullptr, DType::float32, 0};
  const Status status =
      gemmBits(m, n, k, {narrow.data(), DType::float16, 2 * k, 2}, weight.view(weight.packed.data()), {scales.data(), DType::bfloat16, 1},
               weight.shifted() ? Scales{shifts.data(), DType::bfloat16, 1} : none, target);
  CHECK(status == Status::ok, "gemmBits failed");
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j)
      CHECK(out[j * m + i] == fromFloat<DType::float16>(expected[i * n + j]), "%s: other operands give other numbers", format.name);
  }
}

// NaN and infinities of float8 reach the sums, in both paths.
void testSpecials() {
  for (const Format& format : kFormats) {
    if (format.bits < 8) continue;
    for (const int64_t m : {1, 40}) {
      TestWeight weight(format, 17, 9, 9);
      const uint8_t nan = format.dtype == DType::float8_e4m3fnuz ? 0x80 : 0x7f;
      weight.file[3 * 9 + 5] = nan;
      packBitsWeight(17, 9, weight.view(nullptr), weight.file.data(), weight.packed.data());
      const std::vector<float> out = product(weight, m, std::vector<float>(m * 9, 1.0f), {});
      for (int64_t j = 0; j < 17; ++j) CHECK(std::isnan(out[j]) == (j == 3), "%s: NaN at column %d", format.name, static_cast<int>(j));
    }
  }
}

// What is not finite in a row stays in that row, and the other rows are what they are without it.
void testSpecialRows(const Format& format, int64_t m) {
  const TestWeight weight(format, 33, 64, 32);
  std::vector<float> a(m * 64);
  for (auto& value : a) value = random_.symmetric();
  const std::vector<float> plain = product(weight, m, a, {});
  for (const float special : {INFINITY, -INFINITY, NAN}) {
    a[5] = special;
    const std::vector<float> out = product(weight, m, a, {});
    for (int64_t j = 0; j < 33; ++j)
      CHECK(!std::isfinite(out[j]), "%s: %g is lost in column %d", format.name, static_cast<double>(special), static_cast<int>(j));
    CHECK(std::memcmp(out.data() + 33, plain.data() + 33, (m - 1) * 33 * sizeof(float)) == 0, "%s: %g leaves its row", format.name,
          static_cast<double>(special));
  }
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  setThreadCount(3);
  for (const Format& format : kFormats) {
    testSizes(format);
    for (const int64_t m : {1, 3, 40}) testOperands(format, m);
    for (const int64_t m : {1, 5, 40}) testSpecialRows(format, m);
  }
  testSpecials();
  return check::report("weight_bits_test");
}
