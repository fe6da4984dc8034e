// Update rules as torch.optim states them. Constants are combined in double and applied in float32.
#include <cmath>

#include "../csrc/scalar_math.h"
#include "backend.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

// Without decay the parameter is not read: 0 * infinity would be NaN.
QUANTO_DEVICE inline float decayed(float gradient, float parameter, float decay) {
  return decay == 0 ? gradient : gradient + decay * parameter;
}

}  // namespace

Status sgd(Queue* queue, const View* parameter, const View* gradient, const View* momentumBuffer, const SgdStep* step) {
  Issue issue(queue);
  const View& state = momentumBuffer ? *momentumBuffer : *parameter;
  const auto loop = makeLoop({parameter, gradient, &state});
  const Operand target(*parameter), slope(*gradient);
  float* const velocity = momentumBuffer ? static_cast<float*>(momentumBuffer->data) : nullptr;
  const auto rate = static_cast<float>(step->learningRate), decay = static_cast<float>(step->weightDecay);
  const auto momentum = static_cast<float>(step->momentum), fresh = static_cast<float>(1 - step->dampening);
  const bool first = step->first, nesterov = step->nesterov;
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[3];
    loop.place(i, at);
    const float p = target.get(at[0]), g = decayed(slope.get(at[1]), p, decay);
    if (!velocity) return target.set(at[0], p - rate * g);
    const float v = first ? g : momentum * velocity[at[2]] + fresh * g;
    velocity[at[2]] = v;
    target.set(at[0], p - rate * (nesterov ? g + momentum * v : v));
  });
  return issue.finish();
}

Status adam(Queue* queue, const View* parameter, const View* gradient, const View* firstMoment, const View* secondMoment,
            const AdamStep* step) {
  Issue issue(queue);
  const auto loop = makeLoop({parameter, gradient, firstMoment, secondMoment});
  const Operand target(*parameter), slope(*gradient);
  auto *means = static_cast<float*>(firstMoment->data), *squares = static_cast<float*>(secondMoment->data);
  const auto count = static_cast<double>(step->step);
  const auto rate = static_cast<float>(step->learningRate / (1 - std::pow(step->beta1, count)));
  const auto rootCorrection = static_cast<float>(std::sqrt(1 - std::pow(step->beta2, count)));
  const auto freshMean = static_cast<float>(1 - step->beta1), freshSquare = static_cast<float>(1 - step->beta2);
  const auto keptSquare = static_cast<float>(step->beta2), eps = static_cast<float>(step->eps);
  // AdamW shrinks the parameter; Adam adds the decay to the gradient.
  const auto shrink = static_cast<float>(step->decoupled ? 1 - step->learningRate * step->weightDecay : 1);
  const auto decay = static_cast<float>(step->decoupled ? 0 : step->weightDecay);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[4];
    loop.place(i, at);
    const float p = target.get(at[0]), g = decayed(slope.get(at[1]), p, decay);
    const float mean = means[at[2]] + freshMean * (g - means[at[2]]), square = keptSquare * squares[at[3]] + freshSquare * (g * g);
    means[at[2]] = mean;
    squares[at[3]] = square;
    target.set(at[0], p * shrink - rate * (mean / (math::sqrt(square) / rootCorrection + eps)));
  });
  return issue.finish();
}

Status adadelta(Queue* queue, const View* parameter, const View* gradient, const View* squareAverage, const View* deltaAverage,
                const AdadeltaStep* step) {
  Issue issue(queue);
  const auto loop = makeLoop({parameter, gradient, squareAverage, deltaAverage});
  const Operand target(*parameter), slope(*gradient);
  auto *squares = static_cast<float*>(squareAverage->data), *deltas = static_cast<float*>(deltaAverage->data);
  const auto rate = static_cast<float>(step->learningRate), decay = static_cast<float>(step->weightDecay);
  const auto kept = static_cast<float>(step->rho), fresh = static_cast<float>(1 - step->rho), eps = static_cast<float>(step->eps);
  issue.forEach(loop.count, [=] QUANTO_DEVICE(int64_t i) {
    int64_t at[4];
    loop.place(i, at);
    const float p = target.get(at[0]), g = decayed(slope.get(at[1]), p, decay);
    const float square = kept * squares[at[2]] + fresh * (g * g);
    const float delta = math::sqrt(deltas[at[3]] + eps) / math::sqrt(square + eps) * g;
    squares[at[2]] = square;
    deltas[at[3]] = kept * deltas[at[3]] + fresh * (delta * delta);
    target.set(at[0], p - rate * delta);
  });
  return issue.finish();
}

}  // namespace quanto::cuda
