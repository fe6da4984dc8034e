#include "quantize.h"

#include <cmath>

#include "binary.h"
#include "reduce.h"
#include "shape.h"

namespace quanto::ops {

namespace {

bool isCode(DType dtype) { return sizeOf(dtype) == 1 && dtype != DType::boolean; }

// The scale as a view of `shape`.
Tensor spread(const char* op, const Tensor& scale, const Shape& shape) {
  requireStrided(op, scale);
  if (!(broadcastShapes(op, scale.shape(), shape) == shape))
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a scale that broadcasts to ", shape.str(), " but got ", scale.shape().str());
  return broadcastTo(scale, shape);
}

}  // namespace

Tensor quantize(const Tensor& src, const Tensor& scale, DType dtype) {
  requireReal("quantize", "input", src);
  requireStrided("quantize", src);
  requireDType("quantize", "scale", scale, src.dtype());
  if (!isCode(dtype)) fail(ErrorCode::DTYPE_MISMATCH, "[quantize] expected int8, uint8 or a float8 dtype but got ", info(dtype).name);
  const Tensor dst = empty(src.shape(), dtype, src.device());
  launch<&Backend::quantize>("quantize", mathCost(src.numel()), in(src), in(spread("quantize", scale, src.shape())), out(dst));
  return dst;
}

Tensor dequantize(const Tensor& codes, const Tensor& scale) {
  requireStrided("dequantize", codes);
  requireReal("dequantize", "scale", scale);
  if (!isCode(codes.dtype()))
    fail(ErrorCode::DTYPE_MISMATCH, "[dequantize] expected codes of dtype int8, uint8 or float8 but got ", info(codes.dtype()).name);
  const Tensor dst = empty(codes.shape(), scale.dtype(), codes.device());
  launch<&Backend::dequantize>("dequantize", mathCost(codes.numel()), in(codes), in(spread("dequantize", scale, codes.shape())), out(dst));
  return dst;
}

Tensor absmaxScale(const Tensor& src, const Shape& axes, double qmax) {
  requireReal("absmaxScale", "input", src);
  if (!(qmax > 0) || std::isinf(qmax)) fail(ErrorCode::INVALID_ARGUMENT, "[absmaxScale] expected a finite qmax above 0 but got ", qmax);
  unsigned kept = 0;
  for (int64_t axis : axes) kept |= 1u << wrapAxis("absmaxScale", axis, src.ndim());
  Shape folded;
  for (int i = 0; i < src.ndim(); ++i)
    if (!(kept >> i & 1)) folded.push(i);
  const auto absmax = [](const Tensor& values, const Shape& over, bool keepdim) {
    return reduce(static_cast<int64_t>(ReduceOp::absmax), values, over, keepdim, 0);
  };
  // To reduce, no axes mean all of them, so a scale for each element is its own case.
  const Tensor largest =
      folded.size() == 0 ? reshape(absmax(reshape(src, {src.numel(), 1}), {1}, false), src.shape()) : absmax(src, folded, axes.size() > 0);
  return binaryScalar(static_cast<int64_t>(BinaryOp::div), largest, qmax, false);
}

}  // namespace quanto::ops
