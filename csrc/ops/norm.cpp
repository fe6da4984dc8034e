#include "norm.h"

#include "binary.h"
#include "quantize.h"
#include "shape.h"
#include "unary.h"

namespace quanto::ops {

namespace {

// Row-major, with the axis last.
Tensor axisLast(const Tensor& src, int axis) {
  const Tensor operand = atLeast1d(src);
  return contiguous(moveAxis(operand, axis, operand.ndim() - 1));
}

Tensor axisBack(const Tensor& rows, int axis, const Shape& shape) {
  return reshape(contiguous(moveAxis(rows, rows.ndim() - 1, axis)), shape);
}

template <auto slot>
Tensor softmaxForward(const char* op, const Tensor& src, int64_t axisGiven) {
  requireReal(op, "input", src);
  const int axis = wrapAxis(op, axisGiven, src.ndim());
  const Tensor rows = axisLast(src, axis);
  const Tensor dst = emptyLike(rows);
  launch<slot>(op, mathCost(src.numel()), in(rows), out(dst));
  return axisBack(dst, axis, src.shape());
}

template <auto slot>
Tensor softmaxGradient(const char* op, const Tensor& dout, const Tensor& result, int64_t axisGiven) {
  requireReal(op, "output", result);
  requireDType(op, "output gradient", dout, result.dtype());
  requireShape(op, "output gradient", dout, result.shape());
  const int axis = wrapAxis(op, axisGiven, result.ndim());
  const Tensor rows = axisLast(result, axis);
  const Tensor dsrc = emptyLike(rows);
  launch<slot>(op, mathCost(result.numel()), in(axisLast(dout, axis)), in(rows), out(dsrc));
  return axisBack(dsrc, axis, result.shape());
}

// src as the matrix [rows, n] that kernels normalize row by row.
struct Rows {
  Tensor src;
  Shape normalized;
  int64_t rows, n;

  Tensor matrix(const Tensor& tensor) const { return contiguous(tensor).as({rows, n}, {n, 1}); }
};

Rows rowsOf(const char* op, const Tensor& src, int64_t dims) {
  requireReal(op, "input", src);
  requireStrided(op, src);
  if (dims < 1 || dims > src.ndim())
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected to normalize 1 to ", src.ndim(), " trailing dimensions of an input of shape ",
         src.shape().str(), " but got ", dims);
  const Shape shape = src.shape();
  const int leading = shape.size() - static_cast<int>(dims);
  const Shape normalized(shape.begin() + leading, static_cast<int>(dims));
  return {src, normalized, Shape(shape.begin(), leading).numel(), normalized.numel()};
}

Tensor parameterOf(const char* op, const char* name, const Rows& rows, const std::optional<Tensor>& parameter) {
  if (!parameter) return Tensor();
  requireReal(op, name, *parameter);
  requireShape(op, name, *parameter, rows.normalized);
  return contiguous(cast(*parameter, rows.src.dtype())).as({rows.n}, {1});
}

// A number for each row, as the forward pass left it.
Tensor statisticOf(const char* op, const char* name, const Rows& rows, const Tensor& statistic) {
  requireDType(op, name, statistic, DType::float32);
  requireShape(op, name, statistic, {rows.rows});
  return contiguous(statistic);
}

// What both backward passes check and make: the gradients' memory and the matrices to fill it from.
struct Gradients {
  Tensor dout, src, dsrc;
  Tensor result;  // dsrc in src's shape
  Tensor newSum(const Rows& rows, const Tensor& weight) const { return weight ? empty({rows.n}, DType::float32, src.device()) : Tensor(); }
};

Gradients gradientsOf(const char* op, const Rows& rows, const Tensor& dout) {
  requireDType(op, "output gradient", dout, rows.src.dtype());
  requireShape(op, "output gradient", dout, rows.src.shape());
  const Tensor result = emptyLike(rows.src);
  return {rows.matrix(dout), rows.matrix(rows.src), rows.matrix(result), result};
}

// A parameter's gradient in the parameter's shape and dtype.
Tensor finishSum(const Rows& rows, const Tensor& sum, const std::optional<Tensor>& parameter) {
  if (!parameter) return empty({0}, rows.src);
  return cast(sum, parameter->dtype()).as(rows.normalized, contiguousStrides(rows.normalized));
}

// One number of the input's dtype.
Tensor codeScale(const char* op, const Rows& rows, const Tensor& scale) {
  requireDType(op, "scale", scale, rows.src.dtype());
  requireStrided(op, scale);
  requireOne(op, "scale", scale);
  return contiguous(reshape(scale, {1}));
}

}  // namespace

Tensor softmax(const Tensor& src, int64_t axis) { return softmaxForward<&Backend::softmax>("softmax", src, axis); }
Tensor logSoftmax(const Tensor& src, int64_t axis) { return softmaxForward<&Backend::logSoftmax>("logSoftmax", src, axis); }
Tensor softmaxBackward(const Tensor& dout, const Tensor& out, int64_t axis) {
  return softmaxGradient<&Backend::softmaxBackward>("softmaxBackward", dout, out, axis);
}
Tensor logSoftmaxBackward(const Tensor& dout, const Tensor& out, int64_t axis) {
  return softmaxGradient<&Backend::logSoftmaxBackward>("logSoftmaxBackward", dout, out, axis);
}

std::vector<Tensor> layerNorm(const Tensor& src, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias,
                              int64_t normalizedDims, double eps) {
  const Rows rows = rowsOf("layerNorm", src, normalizedDims);
  const Tensor dst = emptyLike(src);
  const Tensor mean = empty({rows.rows}, DType::float32, src.device()), rstd = empty({rows.rows}, DType::float32, src.device());
  launch<&Backend::layerNorm>("layerNorm", mathCost(src.numel()), in(rows.matrix(src)),
                              in(parameterOf("layerNorm", "weight", rows, weight)), in(parameterOf("layerNorm", "bias", rows, bias)),
                              out(rows.matrix(dst)), out(mean), out(rstd), eps);
  return {dst, mean, rstd};
}

std::vector<Tensor> layerNormBackward(const Tensor& dout, const Tensor& src, const std::optional<Tensor>& weight, const Tensor& mean,
                                      const Tensor& rstd, int64_t normalizedDims) {
  const char* op = "layerNormBackward";
  const Rows rows = rowsOf(op, src, normalizedDims);
  const Tensor scale = parameterOf(op, "weight", rows, weight);
  const Gradients gradients = gradientsOf(op, rows, dout);
  const Tensor dweight = gradients.newSum(rows, scale), dbias = gradients.newSum(rows, scale);
  launch<&Backend::layerNormBackward>(op, 2 * mathCost(src.numel()), in(gradients.dout), in(gradients.src), in(scale),
                                      in(statisticOf(op, "mean", rows, mean)), in(statisticOf(op, "rstd", rows, rstd)), out(gradients.dsrc),
                                      out(dweight), out(dbias));
  return {gradients.result, finishSum(rows, dweight, weight), finishSum(rows, dbias, weight)};
}

std::vector<Tensor> rmsNorm(const Tensor& src, const std::optional<Tensor>& weight, double eps) {
  const Rows rows = rowsOf("rmsNorm", src, 1);
  const Tensor dst = emptyLike(src);
  const Tensor rstd = empty({rows.rows}, DType::float32, src.device());
  launch<&Backend::rmsNorm>("rmsNorm", mathCost(src.numel()), in(rows.matrix(src)), in(parameterOf("rmsNorm", "weight", rows, weight)),
                            out(rows.matrix(dst)), out(rstd), eps);
  return {dst, rstd};
}

ChannelAffine batchNormAffine(const char* op, const Tensor& mean, const Tensor& variance, const std::optional<Tensor>& weight,
                              const std::optional<Tensor>& bias, double eps) {
  requireReal(op, "mean", mean);
  if (mean.ndim() != 1) fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a mean [C] but got ", mean.shape().str());
  const auto operand = [&](const char* name, const std::optional<Tensor>& tensor) {
    if (!tensor) return Tensor();
    requireReal(op, name, *tensor);
    requireShape(op, name, *tensor, mean.shape());
    return contiguous(*tensor);
  };
  Tensor operands[] = {operand("mean", mean), operand("variance", variance), operand("weight", weight), operand("bias", bias)};
  if (!mean.device().backend.batchNormAffine) {
    const auto widened = [](const Tensor& tensor) { return cast(tensor, DType::float32); };
    const Tensor shifted = binaryScalar(static_cast<int64_t>(BinaryOp::add), widened(variance), eps, false);
    const Tensor rstd = unary(static_cast<int64_t>(UnaryOp::rsqrt), shifted, 0, 0);
    const Tensor scale = weight ? binaryOf(BinaryOp::mul, rstd, widened(*weight)) : rstd;
    const Tensor shift = unary(static_cast<int64_t>(UnaryOp::neg), binaryOf(BinaryOp::mul, scale, widened(mean)), 0, 0);
    return {scale, bias ? binaryOf(BinaryOp::add, shift, widened(*bias)) : shift};
  }
  const Tensor scale = empty(mean.shape(), DType::float32, mean.device()), shift = emptyLike(scale);
  launch<&Backend::batchNormAffine>(op, mathCost(mean.numel()), in(std::move(operands[0])), in(std::move(operands[1])),
                                    in(std::move(operands[2])), in(std::move(operands[3])), out(scale), out(shift), eps);
  return {scale, shift};
}

Tensor scaleShift(const Tensor& src, const Tensor& scale, const Tensor& shift, int inner) {
  Shape perChannel = scale.shape();
  for (int dim = 0; dim < inner; ++dim) perChannel.push(1);
  return binaryOf(BinaryOp::add, binaryOf(BinaryOp::mul, src, reshape(scale, perChannel)), reshape(shift, perChannel));
}

Tensor batchNorm(const Tensor& src, const Tensor& mean, const Tensor& variance, const std::optional<Tensor>& weight,
                 const std::optional<Tensor>& bias, double eps) {
  const char* op = "batchNorm";
  requireReal(op, "input", src);
  requireStrided(op, src);
  if (src.ndim() < 2) fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected an input [N, C, ...] but got ", src.shape().str());
  const int64_t images = src.dim(0), channels = src.dim(1);
  requireShape(op, "mean", mean, {channels});
  const ChannelAffine affine = batchNormAffine(op, mean, variance, weight, bias, eps);
  if (!src.device().backend.batchNorm)
    return cast(scaleShift(cast(src, DType::float32), affine.scale, affine.shift, src.ndim() - 2), src.dtype());
  const Shape flat = {images, channels, images * channels == 0 ? 0 : src.numel() / (images * channels)};
  const Tensor dst = empty(src.shape(), src.dtype(), src.device());
  const auto asFlat = [&](const Tensor& tensor) { return tensor.as(flat, contiguousStrides(flat)); };
  launch<&Backend::batchNorm>(op, bytesCost(2 * src.numel() * info(src.dtype()).bytes), in(asFlat(contiguous(src))), in(affine.scale),
                              in(affine.shift), out(asFlat(dst)));
  return dst;
}

Tensor layerNormInt8(const Tensor& src, const std::optional<Tensor>& weight, const std::optional<Tensor>& bias, const Tensor& scale,
                     int64_t normalizedDims, double eps) {
  const char* op = "layerNormInt8";
  const Rows rows = rowsOf(op, src, normalizedDims);
  const Tensor one = codeScale(op, rows, scale);
  if (!src.device().backend.layerNormInt8)
    return quantize(layerNorm(src, weight, bias, normalizedDims, eps)[0], reshape(one, {}), DType::int8);
  const Tensor dst = empty(src.shape(), DType::int8, src.device());
  launch<&Backend::layerNormInt8>(op, mathCost(src.numel()), in(rows.matrix(src)), in(parameterOf(op, "weight", rows, weight)),
                                  in(parameterOf(op, "bias", rows, bias)), in(one), out(rows.matrix(dst)), eps);
  return dst;
}

Tensor rmsNormInt8(const Tensor& src, const std::optional<Tensor>& weight, const Tensor& scale, double eps) {
  const char* op = "rmsNormInt8";
  const Rows rows = rowsOf(op, src, 1);
  const Tensor one = codeScale(op, rows, scale);
  if (!src.device().backend.rmsNormInt8) return quantize(rmsNorm(src, weight, eps)[0], reshape(one, {}), DType::int8);
  const Tensor dst = empty(src.shape(), DType::int8, src.device());
  launch<&Backend::rmsNormInt8>(op, mathCost(src.numel()), in(rows.matrix(src)), in(parameterOf(op, "weight", rows, weight)), in(one),
                                out(rows.matrix(dst)), eps);
  return dst;
}

std::vector<Tensor> rmsNormBackward(const Tensor& dout, const Tensor& src, const std::optional<Tensor>& weight, const Tensor& rstd) {
  const char* op = "rmsNormBackward";
  const Rows rows = rowsOf(op, src, 1);
  const Tensor scale = parameterOf(op, "weight", rows, weight);
  const Gradients gradients = gradientsOf(op, rows, dout);
  const Tensor dweight = gradients.newSum(rows, scale);
  launch<&Backend::rmsNormBackward>(op, 2 * mathCost(src.numel()), in(gradients.dout), in(gradients.src), in(scale),
                                    in(statisticOf(op, "rstd", rows, rstd)), out(gradients.dsrc), out(dweight));
  return {gradients.result, finishSum(rows, dweight, weight)};
}

}  // namespace quanto::ops
