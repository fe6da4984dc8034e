// The row loops of every instruction set: codes are those of a division, next to ties too; maxima are exact for every length.
#include "cpu/row_loops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "cpu/isa.h"

using namespace quanto::cpu;

namespace {

struct Version {
  const char* name;
  const RowLoops* loops;
};

std::vector<Version> versions() {
  std::vector<Version> all{{"ref", &kRowLoopsRef}};
#if defined(__x86_64__)
  if (hasIsa(Isa::avx2)) all.push_back({"avx2", &kRowLoopsAvx2});
  if (hasIsa(Isa::avx512)) all.push_back({"avx512", &kRowLoopsAvx512});
#endif
  return all;
}

check::Random random_(5);

// clamp(roundHalfEven(x / scale)), the quotient rounded to float32 first.
template <class Code>
Code expectedCode(float x, float scale) {
  const float quotient = scale == 0 ? 0 : x / scale;
  if (quotient != quotient) return 0;
  const float limited = std::clamp<float>(quotient, std::numeric_limits<Code>::min(), std::numeric_limits<Code>::max());
  return static_cast<Code>(std::nearbyint(limited));
}

float stepped(float value, int ulps) {
  for (; ulps > 0; --ulps) value = std::nextafter(value, std::numeric_limits<float>::infinity());
  for (; ulps < 0; ++ulps) value = std::nextafter(value, -std::numeric_limits<float>::infinity());
  return value;
}

// Values around every tie of a scale, of every magnitude, and those that are none.
std::vector<float> valuesFor(float scale) {
  std::vector<float> values;
  for (int code = -131; code <= 258; ++code) {
    for (int ulps = -2; ulps <= 2; ++ulps) values.push_back(stepped((static_cast<float>(code) + 0.5f) * scale, ulps));
  }
  for (int i = 0; i < 300; ++i) values.push_back(random_.symmetric() * 140 * scale);
  const float largest = std::numeric_limits<float>::max(), infinity = std::numeric_limits<float>::infinity();
  for (const float value : {0.0f, -0.0f, 1e-45f, -1e-38f, 1e30f, -1e30f, largest, -largest, infinity, -infinity, std::nanf("")})
    values.push_back(value);
  return values;
}

template <class Code>
void codesCase(const Version& version, float scale, void (*quantize)(const float*, const float*, int64_t, Code*, int64_t)) {
  const std::vector<float> values = valuesFor(scale), scales(values.size(), scale);
  const auto count = static_cast<int64_t>(values.size());
  for (const int64_t step : {0, 1}) {
    std::vector<Code> codes(values.size());
    quantize(values.data(), scales.data(), step, codes.data(), count);
    for (int64_t i = 0; i < count; ++i) {
      const Code expected = expectedCode<Code>(values[i], scale);
      if (!CHECK(codes[i] == expected, "%s: %a / %a gave %d, expected %d", version.name, values[i], scale, codes[i], expected)) return;
    }
  }
}

void tailCase(const Version& version, int64_t n) {
  std::vector<float> x(n + 1);
  for (auto& value : x) value = random_.symmetric() * 3;
  const float scale = 0.017f;
  constexpr int8_t kUntouched = 0x55;
  std::vector<int8_t> codes(n + 1, kUntouched);
  version.loops->quantizeInt8(x.data(), &scale, 0, codes.data(), n);
  bool equal = true;
  for (int64_t i = 0; i < n; ++i) equal = equal && codes[i] == expectedCode<int8_t>(x[i], scale);
  CHECK(equal && codes[n] == kUntouched, "%s: %ld codes", version.name, long(n));

  float largest = -std::numeric_limits<float>::infinity(), magnitude = largest;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, x[i]), magnitude = std::max(magnitude, std::fabs(x[i]));
  CHECK(version.loops->maximum(x.data(), n) == largest, "%s: maximum of %ld", version.name, long(n));
  CHECK(version.loops->absmax(x.data(), n) == magnitude, "%s: absmax of %ld", version.name, long(n));
  if (n == 0) return;
  x[random_.bits() % n] = -std::numeric_limits<float>::infinity();
  CHECK(version.loops->minimum(x.data(), n) == -std::numeric_limits<float>::infinity(), "%s: minimum of %ld", version.name, long(n));
  x[random_.bits() % n] = std::nanf("");
  CHECK(std::isnan(version.loops->maximum(x.data(), n)), "%s: NaN among %ld", version.name, long(n));
  float finite = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (std::isfinite(x[i])) finite = std::max(finite, std::fabs(x[i]));
  }
  CHECK(version.loops->absmax(x.data(), n) == finite, "%s: finite absmax of %ld", version.name, long(n));
}

// Sums within the rounding of pairs of float32, and the bits of the reference.
void sumCase(const Version& version, int64_t n) {
  std::vector<float> x(n + 1);
  for (auto& value : x) value = random_.symmetric() * 3;
  const float mean = 0.25f;
  double sum = 0, magnitudes = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double distance = x[i] - mean;
    sum += x[i], magnitudes += std::fabs(x[i]), squares += distance * distance;
  }
  constexpr double kRounding = 4 * 0x1p-24;
  CHECK(std::fabs(version.loops->sum(x.data(), n) - sum) <= kRounding * magnitudes, "%s: sum of %ld", version.name, long(n));
  CHECK(std::fabs(version.loops->squares(x.data(), mean, n) - squares) <= kRounding * squares, "%s: squares of %ld", version.name, long(n));
  CHECK(version.loops->sum(x.data(), n) == kRowLoopsRef.sum(x.data(), n), "%s: other bits in the sum of %ld", version.name, long(n));
  CHECK(version.loops->squares(x.data(), mean, n) == kRowLoopsRef.squares(x.data(), mean, n), "%s: other bits in the squares of %ld",
        version.name, long(n));
  constexpr double kUntouched = -77;
  std::vector<double> sums(n + 1, 0.5);
  sums[n] = kUntouched;
  version.loops->addTo(sums.data(), x.data(), n);
  bool equal = sums[n] == kUntouched;
  for (int64_t i = 0; i < n; ++i) equal = equal && sums[i] == 0.5 + x[i];
  CHECK(equal, "%s: %ld running sums", version.name, long(n));
}

}  // namespace

int main() {
  for (const Version& version : versions()) {
    for (int i = 0; i < 400; ++i) {
      const float scale = std::ldexp(1.0f + (random_.symmetric() + 1) / 2, static_cast<int>(random_.bits() % 40) - 20);
      codesCase<int8_t>(version, scale, version.loops->quantizeInt8);
      codesCase<uint8_t>(version, scale, version.loops->quantizeUint8);
    }
    for (const float scale : {0.0f, 0x1p-140f, 0x1p-126f, 0x1p-61f, 0x1p-60f, 0x1p60f, 0x1p61f, 0x1p120f, std::nanf("")})
      codesCase<int8_t>(version, scale, version.loops->quantizeInt8);
    for (int64_t n = 0; n < 200; ++n) tailCase(version, n), sumCase(version, n);
    for (const int64_t n : {511, 512, 513, 577, 1024, 1100}) tailCase(version, n), sumCase(version, n);
  }
  return check::report("row_loops_test");
}
