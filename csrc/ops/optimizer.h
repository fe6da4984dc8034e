#pragma once

#include "common.h"

namespace quanto::ops {

// One step of torch.optim's rule of the same name, in place: parameter and state are row-major, the state float32 in the parameter's shape.
// No momentum needs no buffer; `first` fills it with the gradient.
void sgdStep(const Tensor& parameter, const Tensor& gradient, const std::optional<Tensor>& momentumBuffer, double learningRate,
             double momentum, double dampening, double weightDecay, bool nesterov, bool first);
// `decoupled` is AdamW's decay; steps are counted from 1.
void adamStep(const Tensor& parameter, const Tensor& gradient, const Tensor& firstMoment, const Tensor& secondMoment, double learningRate,
              double beta1, double beta2, double eps, double weightDecay, bool decoupled, int64_t step);
void adadeltaStep(const Tensor& parameter, const Tensor& gradient, const Tensor& squareAverage, const Tensor& deltaAverage,
                  double learningRate, double rho, double eps, double weightDecay);

}  // namespace quanto::ops
