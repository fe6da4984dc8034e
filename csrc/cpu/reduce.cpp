#include <cmath>
#include <limits>

#include "elements.h"
#include "kernels.h"
#include "loops.h"
#include "norm_loops.h"
#include "row_loops.h"

namespace quanto::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A fold takes blocks of elements to a partial result and joins partial results.
// `block` serves rows of consecutive elements; `lift` one element, where many folds run side by side, unless `joinEach` does them all.
struct Sum {
  using Element = float;
  using Partial = double;
  static constexpr Partial kStart = 0;
  Partial block(const float* x, int64_t n) const { return rowLoops().sum(x, n); }
  static Partial join(Partial a, Partial b) { return a + b; }
  static void joinEach(Partial* partials, const float* x, int64_t n) { rowLoops().addTo(partials, x, n); }
};

struct IntegerSum {
  using Element = int64_t;
  using Partial = int64_t;
  static constexpr Partial kStart = 0;
  Partial block(const int64_t* x, int64_t n) const {
    Partial sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += x[i];
    return sum;
  }
  static Partial lift(int64_t x) { return x; }
  static Partial join(Partial a, Partial b) { return a + b; }
};

// Sum of squared distances from the mean.
struct Squares {
  using Element = float;
  using Partial = double;
  static constexpr Partial kStart = 0;
  float mean;
  Partial block(const float* x, int64_t n) const { return rowLoops().squares(x, mean, n); }
  static Partial join(Partial a, Partial b) { return a + b; }
};

struct Exponentials {
  using Element = float;
  using Partial = double;
  static constexpr Partial kStart = 0;
  float largest;
  Partial block(const float* x, int64_t n) const {
    Partial sum = 0;
    float exponentials[kBlock];
    for (int64_t begin = 0; begin < n; begin += kBlock)
      sum += normLoops().exponentials(x + begin, largest, exponentials, std::min(kBlock, n - begin));
    return sum;
  }
  static Partial join(Partial a, Partial b) { return a + b; }
};

// The largest of sign * x; minimum is maximum mirrored. NaN wins over everything.
template <int sign>
struct Extreme {
  using Element = float;
  using Partial = float;
  static constexpr Partial kStart = -kInfinity;
  Partial block(const float* x, int64_t n) const { return sign > 0 ? rowLoops().maximum(x, n) : -rowLoops().minimum(x, n); }
  static Partial lift(float x) { return sign * x; }
  static Partial join(Partial a, Partial b) { return a != a || a > b ? a : b; }
};

// The largest |x| that is finite, 0 if there is none: what scales are made of.
struct FiniteMagnitude {
  using Element = float;
  using Partial = float;
  static constexpr Partial kStart = 0;
  Partial block(const float* x, int64_t n) const { return rowLoops().absmax(x, n); }
  static Partial lift(float x) { return std::fabs(x) < kInfinity ? std::fabs(x) : 0.0f; }
  static Partial join(Partial a, Partial b) { return std::max(a, b); }
};

template <int sign, bool absolute>
struct IntegerExtreme {
  using Element = int64_t;
  using Partial = int64_t;
  // ~x mirrors the order without overflow.
  static constexpr Partial kStart = absolute ? 0 : INT64_MIN;
  Partial block(const int64_t* x, int64_t n) const {
    Partial largest = kStart;
    for (int64_t i = 0; i < n; ++i) largest = std::max(largest, lift(x[i]));
    return largest;
  }
  static Partial lift(int64_t x) { return absolute && x < 0 ? -x : (sign < 0 ? ~x : x); }
  static Partial join(Partial a, Partial b) { return std::max(a, b); }
};

// Whether some element is not 0, counted as 0 or 1.
struct Any {
  using Element = uint8_t;
  using Partial = uint8_t;
  static constexpr Partial kStart = 0;
  Partial block(const uint8_t* x, int64_t n) const {
    uint8_t found = 0;
    for (int64_t i = 0; i < n; ++i) found |= x[i];
    return found;
  }
  static Partial lift(uint8_t x) { return x; }
  static Partial join(Partial a, Partial b) { return a | b; }
};

struct All {
  using Element = uint8_t;
  using Partial = uint8_t;
  static constexpr Partial kStart = 1;
  Partial block(const uint8_t* x, int64_t n) const {
    uint8_t held = 1;
    for (int64_t i = 0; i < n; ++i) held &= x[i];
    return held;
  }
  static Partial lift(uint8_t x) { return x; }
  static Partial join(Partial a, Partial b) { return a & b; }
};

// How src splits: `kept` walks out and src together, `region` the elements folded into one element of out.
struct Plan {
  const View& src;
  const View& out;
  Loop<2> kept;
  Loop<1> region;
  // Elements of a piece that is folded on its own; it depends on the shape alone, so the result never depends on threads.
  int64_t piece, pieces;

  // Whether elements of neighbouring rows lie closer than those of one row: then rows are folded side by side.
  bool isAcross() const { return kept.shape[kept.ndim - 1] >= 8 && region.count > 1 && region.innerStride(0) > kept.innerStride(1); }
};

constexpr int64_t kMaxPieces = 128;

Plan makePlan(const View& src, const View& out, int32_t reduced) {
  Plan plan{src, out, makeLoop({&out, &src}, 0, src.ndim - reduced), {}, 0, 0};
  // In memory order, so that the innermost runs are the longest.
  int order[kMaxDims];
  for (int i = 0; i < reduced; ++i) order[i] = src.ndim - reduced + i;
  std::stable_sort(order, order + reduced, [&](int a, int b) { return src.strides[a] > src.strides[b]; });
  plan.region.count = 1;
  for (int i = 0; i < reduced; ++i) appendDim(plan.region, src.shape[order[i]], {src.strides[order[i]]});
  finishLoop(plan.region);
  const int64_t least = kCheapGrain, count = plan.region.count;
  plan.piece = std::max(least, ((count + kMaxPieces - 1) / kMaxPieces + kBlock - 1) / kBlock * kBlock);
  plan.pieces = (count + plan.piece - 1) / plan.piece;
  return plan;
}

template <class Fold>
typename Fold::Partial foldRow(const Plan& plan, const Reader<typename Fold::Element>& reader, int64_t base, const Fold& fold) {
  using Element = typename Fold::Element;
  using Partial = typename Fold::Partial;
  Partial partials[kMaxPieces];
  const int64_t longest = reader.direct() ? plan.piece : kBlock;
  parallelFor(plan.pieces, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      Partial partial = Fold::kStart;
      const int64_t begin = i * plan.piece, end = std::min(plan.region.count, begin + plan.piece);
      forEachRun(plan.region, begin, end, longest, [&](int64_t, const int64_t(&offsets)[1], int64_t n) {
        Element buffer[kBlock];
        partial = Fold::join(partial, fold.block(reader.read(base + offsets[0], n, buffer), n));
      });
      partials[i] = partial;
    }
  });
  Partial total = Fold::kStart;
  for (int64_t i = 0; i < plan.pieces; ++i) total = Fold::join(total, partials[i]);
  return total;
}

// Writes row(reader, base) for every element of out; `base` is the place of its first element in src.
template <class Element, class R, class Row>
void foldRows(const Plan& plan, Row&& row) {
  const Reader<Element> reader(plan.src, plan.region.innerStride(0));
  const Writer<R> writer(plan.out, plan.kept.innerStride(0));
  const int64_t stride = plan.kept.innerStride(1), outStride = plan.kept.innerStride(0), rows = plan.kept.count;
  const auto body = [&](int64_t, const int64_t(&offsets)[2], int64_t n) {
    for (int64_t i = 0; i < n; ++i) writer.writeOne(offsets[0] + i * outStride, static_cast<R>(row(reader, offsets[1] + i * stride)));
  };
  // Few long rows: the threads share each row instead.
  if (plan.pieces > 1 && rows < 2 * threadCount()) forEachRun(plan.kept, 0, rows, rows, body);
  else forEachRunParallel(plan.kept, std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, plan.region.count)), rows, body);
}

// Folds up to kBlock neighbouring rows at once, element by element.
template <class Fold, class R, class Finish>
void foldAcross(const Plan& plan, Finish&& finish) {
  using Element = typename Fold::Element;
  const Reader<Element> reader(plan.src, plan.kept.innerStride(1));
  const Writer<R> writer(plan.out, plan.kept.innerStride(0));
  const int64_t grain = std::max<int64_t>(64, kCheapGrain / plan.region.count);
  forEachRunParallel(plan.kept, grain, kBlock, [&](int64_t, const int64_t(&offsets)[2], int64_t n) {
    typename Fold::Partial partials[kBlock];
    std::fill_n(partials, n, Fold::kStart);
    forEachRun(plan.region, 0, plan.region.count, 1, [&](int64_t, const int64_t(&place)[1], int64_t) {
      Element buffer[kBlock];
      const Element* x = reader.read(offsets[1] + place[0], n, buffer);
      if constexpr (requires { Fold::joinEach(partials, x, n); }) {
        Fold::joinEach(partials, x, n);
      } else {
        for (int64_t i = 0; i < n; ++i) partials[i] = Fold::join(partials[i], Fold::lift(x[i]));
      }
    });
    R results[kBlock];
    R* target = writer.target(offsets[0], results);
    for (int64_t i = 0; i < n; ++i) target[i] = static_cast<R>(finish(partials[i]));
    writer.write(offsets[0], n, target);
  });
}

template <class Fold, class R, class Finish>
void fold(const Plan& plan, Finish&& finish) {
  if (plan.isAcross()) {
    foldAcross<Fold, R>(plan, finish);
  } else {
    foldRows<typename Fold::Element, R>(plan,
                                        [&](const auto& reader, int64_t base) { return finish(foldRow(plan, reader, base, Fold{})); });
  }
}

void reduceIntegers(ReduceOp op, const Plan& plan) {
  const auto same = [](int64_t x) { return x; };
  switch (op) {
    case ReduceOp::sum:
      return fold<IntegerSum, int64_t>(plan, same);
    case ReduceOp::max:
      return fold<IntegerExtreme<1, false>, int64_t>(plan, same);
    case ReduceOp::min:
      return fold<IntegerExtreme<-1, false>, int64_t>(plan, [](int64_t x) { return ~x; });
    default:
      return fold<IntegerExtreme<1, true>, int64_t>(plan, same);
  }
}

void reduceReals(ReduceOp op, const Plan& plan, double correction) {
  const auto count = static_cast<double>(plan.region.count);
  switch (op) {
    case ReduceOp::sum:
      return fold<Sum, float>(plan, [](double x) { return x; });
    case ReduceOp::mean:
      return fold<Sum, float>(plan, [=](double x) { return x / count; });
    case ReduceOp::max:
      return fold<Extreme<1>, float>(plan, [](float x) { return x; });
    case ReduceOp::min:
      return fold<Extreme<-1>, float>(plan, [](float x) { return -x; });
    case ReduceOp::absmax:
      return fold<FiniteMagnitude, float>(plan, [](float x) { return x; });
    case ReduceOp::var:
      return foldRows<float, float>(plan, [&](const auto& reader, int64_t base) {
        const auto mean = static_cast<float>(foldRow(plan, reader, base, Sum{}) / count);
        return foldRow(plan, reader, base, Squares{mean}) / std::max(0.0, count - correction);
      });
    default:
      return foldRows<float, float>(plan, [&](const auto& reader, int64_t base) {
        const float largest = foldRow(plan, reader, base, Extreme<1>{});
        if (std::isinf(largest)) return static_cast<double>(largest);
        return largest + std::log(foldRow(plan, reader, base, Exponentials{largest}));
      });
  }
}

}  // namespace

Status reduce(Queue*, int32_t op, const View* src, const View* out, int32_t reduced, double correction) {
  const auto kind = static_cast<ReduceOp>(op);
  const Plan plan = makePlan(*src, *out, reduced);
  const bool integers = !isReal(dtypeOf(*src));
  const auto same = [](uint8_t x) { return x; };
  if (kind == ReduceOp::any) fold<Any, uint8_t>(plan, same);
  else if (kind == ReduceOp::all) fold<All, uint8_t>(plan, same);
  else if (integers && kind != ReduceOp::mean && kind != ReduceOp::var && kind != ReduceOp::logsumexp) reduceIntegers(kind, plan);
  else reduceReals(kind, plan, correction);
  return Status::ok;
}

}  // namespace quanto::cpu
