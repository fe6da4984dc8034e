// Update rules as torch.optim states them. Constants are combined in double and applied in float32.
#include <cmath>
#include <utility>

#include "elements.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

// An update does several passes' work on each element.
constexpr int64_t kGrain = kCheapGrain / 4;

template <class Update, size_t... place, class... State>
void updateEach(const View& parameter, const View& gradient, Update update, std::index_sequence<place...>, const State&... state) {
  constexpr int kOperands = 2 + sizeof...(State);
  const auto loop = makeLoop<kOperands>({&parameter, &gradient, &state...});
  const Reader<float> values(parameter, loop.innerStride(0)), gradients(gradient, loop.innerStride(1));
  const Writer<float> results(parameter, loop.innerStride(0));
  forEachRunParallel(loop, kGrain, kBlock, [&](int64_t, const int64_t(&offsets)[kOperands], int64_t n) {
    float parameterBuffer[kBlock], gradientBuffer[kBlock];
    float* const p = results.target(offsets[0], parameterBuffer);
    values.read(offsets[0], n, p);
    const float* const g = gradients.read(offsets[1], n, gradientBuffer);
    [&](auto* const... s) {
      QUANTO_VECTORIZE
      for (int64_t i = 0; i < n; ++i) update(p[i], g[i], s[i]...);
    }(static_cast<float*>(state.data) + offsets[2 + place]...);
    results.write(offsets[0], n, p);
  });
}

// update(parameter, gradient, state...) for each element, the parameter and the states by reference.
template <class Update, class... State>
Status updateEach(const View& parameter, const View& gradient, Update update, const State&... state) {
  updateEach(parameter, gradient, update, std::make_index_sequence<sizeof...(State)>(), state...);
  return Status::ok;
}

// Without decay the parameter is not read: 0 * infinity would be NaN.
inline float decayed(float gradient, float parameter, float decay) { return decay == 0 ? gradient : gradient + decay * parameter; }

}  // namespace

Status sgd(Queue*, const View* parameter, const View* gradient, const View* momentumBuffer, const SgdStep* step) {
  const auto rate = static_cast<float>(step->learningRate), decay = static_cast<float>(step->weightDecay);
  if (!momentumBuffer) return updateEach(*parameter, *gradient, [=](float& p, float slope) { p -= rate * decayed(slope, p, decay); });
  const auto momentum = static_cast<float>(step->momentum), fresh = static_cast<float>(1 - step->dampening);
  const bool first = step->first, nesterov = step->nesterov;
  const auto update = [=](float& p, float slope, float& velocity) {
    const float g = decayed(slope, p, decay);
    velocity = first ? g : momentum * velocity + fresh * g;
    p -= rate * (nesterov ? g + momentum * velocity : velocity);
  };
  return updateEach(*parameter, *gradient, update, *momentumBuffer);
}

Status adam(Queue*, const View* parameter, const View* gradient, const View* firstMoment, const View* secondMoment, const AdamStep* step) {
  const auto count = static_cast<double>(step->step);
  const auto rate = static_cast<float>(step->learningRate / (1 - std::pow(step->beta1, count)));
  const auto rootCorrection = static_cast<float>(std::sqrt(1 - std::pow(step->beta2, count)));
  const auto freshMean = static_cast<float>(1 - step->beta1), freshSquare = static_cast<float>(1 - step->beta2);
  const auto keptSquare = static_cast<float>(step->beta2), eps = static_cast<float>(step->eps);
  // AdamW shrinks the parameter; Adam adds the decay to the gradient.
  const auto shrink = static_cast<float>(step->decoupled ? 1 - step->learningRate * step->weightDecay : 1);
  const auto decay = static_cast<float>(step->decoupled ? 0 : step->weightDecay);
  const auto update = [=](float& p, float slope, float& mean, float& square) {
    const float g = decayed(slope, p, decay);
    mean += freshMean * (g - mean);
    square = keptSquare * square + freshSquare * (g * g);
    p = p * shrink - rate * (mean / (std::sqrt(square) / rootCorrection + eps));
  };
  return updateEach(*parameter, *gradient, update, *firstMoment, *secondMoment);
}

Status adadelta(Queue*, const View* parameter, const View* gradient, const View* squareAverage, const View* deltaAverage,
                const AdadeltaStep* step) {
  const auto rate = static_cast<float>(step->learningRate), decay = static_cast<float>(step->weightDecay);
  const auto kept = static_cast<float>(step->rho), fresh = static_cast<float>(1 - step->rho), eps = static_cast<float>(step->eps);
  const auto update = [=](float& p, float slope, float& squares, float& deltas) {
    const float g = decayed(slope, p, decay);
    squares = kept * squares + fresh * (g * g);
    const float delta = std::sqrt(deltas + eps) / std::sqrt(squares + eps) * g;
    deltas = kept * deltas + fresh * (delta * delta);
    p -= rate * delta;
  };
  return updateEach(*parameter, *gradient, update, *squareAverage, *deltaAverage);
}

}  // namespace quanto::cpu
