#include "optimizer.h"

#include "shape.h"

namespace quanto::ops {

namespace {

void requireUpdatable(const char* op, const char* name, const Tensor& tensor) {
  requireStrided(op, tensor);
  if (!tensor.contiguous())
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected ", name, " to be row-major, as it is updated in place; use contiguous() of it");
}

void requireParameter(const char* op, const Tensor& parameter) {
  requireReal(op, "parameter", parameter);
  requireUpdatable(op, "parameter", parameter);
}

Tensor gradientOf(const char* op, const Tensor& gradient, const Tensor& parameter) {
  requireReal(op, "gradient", gradient);
  requireShape(op, "gradient", gradient, parameter.shape());
  const Tensor operand = contiguous(cast(gradient, parameter.dtype()));
  // The kernel writes the parameter while it reads the gradient.
  return operand.storage() == parameter.storage() ? clone(operand) : operand;
}

const Tensor& stateOf(const char* op, const char* name, const Tensor& state, const Tensor& parameter) {
  requireDType(op, name, state, DType::float32);
  requireShape(op, name, state, parameter.shape());
  requireUpdatable(op, name, state);
  if (state.storage() == parameter.storage())
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected ", name, " in memory of its own but it shares the parameter's");
  return state;
}

}  // namespace

void sgdStep(const Tensor& parameter, const Tensor& gradient, const std::optional<Tensor>& momentumBuffer, double learningRate,
             double momentum, double dampening, double weightDecay, bool nesterov, bool first) {
  requireParameter("sgdStep", parameter);
  if (momentum != 0 && !momentumBuffer) fail(ErrorCode::INVALID_ARGUMENT, "[sgdStep] expected a momentum buffer for momentum ", momentum);
  // As in PyTorch, a step without momentum leaves the buffer alone.
  const Tensor buffer = momentum != 0 ? stateOf("sgdStep", "momentum buffer", *momentumBuffer, parameter) : Tensor();
  const SgdStep step{learningRate, momentum, dampening, weightDecay, nesterov, first};
  launch<&Backend::sgd>("sgdStep", mathCost(parameter.numel()), inOut(parameter), in(gradientOf("sgdStep", gradient, parameter)),
                        inOut(buffer), block(step));
}

void adamStep(const Tensor& parameter, const Tensor& gradient, const Tensor& firstMoment, const Tensor& secondMoment, double learningRate,
              double beta1, double beta2, double eps, double weightDecay, bool decoupled, int64_t step) {
  requireParameter("adamStep", parameter);
  if (step < 1) fail(ErrorCode::INVALID_ARGUMENT, "[adamStep] expected steps counted from 1 but got ", step);
  const AdamStep rule{learningRate, beta1, beta2, eps, weightDecay, decoupled, step};
  launch<&Backend::adam>("adamStep", 2 * mathCost(parameter.numel()), inOut(parameter), in(gradientOf("adamStep", gradient, parameter)),
                         inOut(stateOf("adamStep", "first moment", firstMoment, parameter)),
                         inOut(stateOf("adamStep", "second moment", secondMoment, parameter)), block(rule));
}

void adadeltaStep(const Tensor& parameter, const Tensor& gradient, const Tensor& squareAverage, const Tensor& deltaAverage,
                  double learningRate, double rho, double eps, double weightDecay) {
  requireParameter("adadeltaStep", parameter);
  const AdadeltaStep step{learningRate, rho, eps, weightDecay};
  launch<&Backend::adadelta>("adadeltaStep", 2 * mathCost(parameter.numel()), inOut(parameter),
                             in(gradientOf("adadeltaStep", gradient, parameter)),
                             inOut(stateOf("adadeltaStep", "square average", squareAverage, parameter)),
                             inOut(stateOf("adadeltaStep", "delta average", deltaAverage, parameter)), block(step));
}

}  // namespace quanto::ops
