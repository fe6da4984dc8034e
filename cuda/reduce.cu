#include <algorithm>

#include "../csrc/scalar_math.h"
#include "backend.h"
#include "block.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

// A fold takes elements to a partial result and joins partial results. `prior` is a number that an earlier fold found for the row.
struct Sum {
  using Element = float;
  using Partial = double;
  QUANTO_DEVICE static Partial start() { return 0; }
  QUANTO_DEVICE static Partial lift(float x, double) { return x; }
  QUANTO_DEVICE static Partial join(Partial a, Partial b) { return a + b; }
};
struct Squares : Sum {
  QUANTO_DEVICE static Partial lift(float x, double mean) {
    const float distance = x - static_cast<float>(mean);
    return distance * distance;
  }
};
struct Exponentials : Sum {
  QUANTO_DEVICE static Partial lift(float x, double largest) { return math::exp(x - static_cast<float>(largest)); }
};
// The largest of sign * x; the minimum is the maximum mirrored. NaN wins over everything.
template <int sign>
struct Extreme {
  using Element = float;
  using Partial = float;
  QUANTO_DEVICE static Partial start() { return -infinity(); }
  QUANTO_DEVICE static Partial lift(float x, double) { return sign * x; }
  QUANTO_DEVICE static Partial join(Partial a, Partial b) { return a != a || a > b ? a : b; }
};
// The largest |x| that is finite, 0 if there is none: what scales are made of.
struct FiniteMagnitude {
  using Element = float;
  using Partial = float;
  QUANTO_DEVICE static Partial start() { return 0; }
  QUANTO_DEVICE static Partial lift(float x, double) {
    const float magnitude = x < 0 ? -x : x;
    return magnitude < infinity() ? magnitude : 0.0f;
  }
  QUANTO_DEVICE static Partial join(Partial a, Partial b) { return a > b ? a : b; }
};
struct IntegerSum {
  using Element = int64_t;
  using Partial = int64_t;
  QUANTO_DEVICE static Partial start() { return 0; }
  QUANTO_DEVICE static Partial lift(int64_t x, double) { return x; }
  QUANTO_DEVICE static Partial join(Partial a, Partial b) { return a + b; }
};
// ~x mirrors the order without overflow.
template <int sign, bool absolute>
struct IntegerExtreme {
  using Element = int64_t;
  using Partial = int64_t;
  QUANTO_DEVICE static Partial start() { return absolute ? 0 : INT64_MIN; }
  QUANTO_DEVICE static Partial lift(int64_t x, double) { return absolute && x < 0 ? -x : (sign < 0 ? ~x : x); }
  QUANTO_DEVICE static Partial join(Partial a, Partial b) { return a > b ? a : b; }
};
template <bool all>
struct Truth {
  using Element = uint8_t;
  using Partial = int;
  QUANTO_DEVICE static Partial start() { return all; }
  QUANTO_DEVICE static Partial lift(uint8_t x, double) { return x; }
  QUANTO_DEVICE static Partial join(Partial a, Partial b) { return all ? a & b : a | b; }
};

// How src splits: `kept` walks out and src together, `region` the elements folded into one element of out.
struct Plan {
  Operand src, out;
  Loop<2> kept;
  Loop<1> region;
  // Pieces of a row that blocks of their own fold. They depend on the shape alone.
  int64_t pieces, piece;
};

constexpr int64_t kPiece = 1 << 14, kMaxPieces = 256;

Plan makePlan(const View& src, const View& out, int32_t reduced) {
  Plan plan{
      Operand(src), Operand(out), makeLoop({&out, &src}, 0, src.ndim - reduced), makeLoop({&src}, src.ndim - reduced, src.ndim), 1, 0};
  plan.pieces = std::clamp<int64_t>((plan.region.count + kPiece - 1) / kPiece, 1, kMaxPieces);
  plan.piece = (plan.region.count + plan.pieces - 1) / plan.pieces;
  return plan;
}

// partials[row * pieces + piece]
template <class Fold>
void foldPieces(Issue& issue, const Plan& plan, const double* prior, typename Fold::Partial* partials) {
  using Partial = typename Fold::Partial;
  using Element = typename Fold::Element;
  if (plan.region.count <= kWarp) {
    // Short rows: a thread each.
    issue.forEach(plan.kept.count, [=] QUANTO_DEVICE(int64_t row) {
      int64_t base[2], at[1];
      plan.kept.place(row, base);
      Partial partial = Fold::start();
      for (int64_t i = 0; i < plan.region.count; ++i) {
        plan.region.place(i, at);
        partial = Fold::join(partial, Fold::lift(plan.src.get<Element>(base[1] + at[0]), prior ? prior[row] : 0));
      }
      partials[row] = partial;
    });
    return;
  }
  forEachRowBlock(issue, plan.kept.count * plan.pieces, plan.piece, [=] QUANTO_DEVICE(int64_t unit) {
    const int64_t row = unit / plan.pieces, begin = unit % plan.pieces * plan.piece;
    const int64_t end = begin + plan.piece < plan.region.count ? begin + plan.piece : plan.region.count;
    int64_t base[2], at[1];
    plan.kept.place(row, base);
    Partial partial = Fold::start();
    for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x) {
      plan.region.place(i, at);
      partial = Fold::join(partial, Fold::lift(plan.src.get<Element>(base[1] + at[0]), prior ? prior[row] : 0));
    }
    partial = foldBlock<Fold>(partial, [](Partial a, Partial b) { return Fold::join(a, b); });
    if (threadIdx.x == 0) partials[unit] = partial;
  });
}

// What becomes of a row's joined partials.
enum class Finish { same, mean, mirror, variance, logsumexp };

template <Finish finish>
QUANTO_DEVICE double finished(double x, double count, double prior) {
  if (finish == Finish::mean) return x / count;
  if (finish == Finish::mirror) return -x;
  if (finish == Finish::variance) return x / count;
  if (finish == Finish::logsumexp) return prior - prior != 0 ? prior : prior + ::log(x);
  return x;
}

template <class Fold, Finish finish>
void fold(Issue& issue, const Plan& plan, double count = 0, const double* prior = nullptr, double* results = nullptr) {
  using Partial = typename Fold::Partial;
  const int64_t rows = plan.kept.count;
  auto* partials = issue.scratch<Partial>(Scratch::partials, rows * plan.pieces);
  foldPieces<Fold>(issue, plan, prior, partials);
  issue.forEach(rows, [=] QUANTO_DEVICE(int64_t row) {
    Partial total = partials[row * plan.pieces];
    for (int64_t i = 1; i < plan.pieces; ++i) total = Fold::join(total, partials[row * plan.pieces + i]);
    // nvcc lets no variable be captured inside `if constexpr` first.
    const double previous = prior ? prior[row] : 0, divisor = count;
    double* const kept = results ? results + row : nullptr;
    int64_t at[2];
    plan.kept.place(row, at);
    if constexpr (isFloat<typename Fold::Element>) {
      const auto value = static_cast<float>(finished<finish>(total, divisor, previous));
      if (kept) *kept = value;
      else plan.out.set(at[0], value);
    } else {
      const auto value = static_cast<int64_t>(total);
      plan.out.set(at[0], finish == Finish::mirror ? ~value : value);
    }
  });
}

void foldIntegers(Issue& issue, ReduceOp op, const Plan& plan) {
  switch (op) {
    case ReduceOp::sum:
      return fold<IntegerSum, Finish::same>(issue, plan);
    case ReduceOp::max:
      return fold<IntegerExtreme<1, false>, Finish::same>(issue, plan);
    case ReduceOp::min:
      return fold<IntegerExtreme<-1, false>, Finish::mirror>(issue, plan);
    default:
      return fold<IntegerExtreme<1, true>, Finish::same>(issue, plan);
  }
}

void foldReals(Issue& issue, ReduceOp op, const Plan& plan, double correction) {
  const auto count = static_cast<double>(plan.region.count);
  switch (op) {
    case ReduceOp::sum:
      return fold<Sum, Finish::same>(issue, plan);
    case ReduceOp::mean:
      return fold<Sum, Finish::mean>(issue, plan, count);
    case ReduceOp::max:
      return fold<Extreme<1>, Finish::same>(issue, plan);
    case ReduceOp::min:
      return fold<Extreme<-1>, Finish::mirror>(issue, plan);
    case ReduceOp::absmax:
      return fold<FiniteMagnitude, Finish::same>(issue, plan);
    case ReduceOp::var: {
      auto* means = issue.scratch<double>(Scratch::sums, plan.kept.count);
      fold<Sum, Finish::mean>(issue, plan, count, nullptr, means);
      return fold<Squares, Finish::variance>(issue, plan, std::max(0.0, count - correction), means);
    }
    default: {
      auto* largest = issue.scratch<double>(Scratch::sums, plan.kept.count);
      fold<Extreme<1>, Finish::same>(issue, plan, 0, nullptr, largest);
      return fold<Exponentials, Finish::logsumexp>(issue, plan, 0, largest);
    }
  }
}

}  // namespace

Status reduce(Queue* queue, int32_t op, const View* src, const View* out, int32_t reduced, double correction) {
  Issue issue(queue);
  const auto kind = static_cast<ReduceOp>(op);
  const Plan plan = makePlan(*src, *out, reduced);
  if (plan.kept.count == 0) return issue.finish();
  const bool real = isReal(plan.src.dtype) || kind == ReduceOp::mean || kind == ReduceOp::var || kind == ReduceOp::logsumexp;
  if (kind == ReduceOp::any) fold<Truth<false>, Finish::same>(issue, plan);
  else if (kind == ReduceOp::all) fold<Truth<true>, Finish::same>(issue, plan);
  else if (real) foldReals(issue, kind, plan, correction);
  else foldIntegers(issue, kind, plan);
  return issue.finish();
}

}  // namespace quanto::cuda
