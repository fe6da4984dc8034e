#include "reduce.h"

#include <iterator>

#include "shape.h"

namespace quanto::ops {

namespace {

enum class Result { wide, real, same, boolean };
struct Row {
  const char* name;
  Result result;
  bool needsElements;
};
// By ReduceOp.
constexpr Row kRows[] = {
    {"sum", Result::wide, false},       {"mean", Result::real, false},   {"max", Result::same, true},
    {"min", Result::same, true},        {"absmax", Result::same, false}, {"var", Result::real, false},
    {"logsumexp", Result::real, false}, {"any", Result::boolean, false}, {"all", Result::boolean, false},
};

const Row& rowOf(int64_t op) {
  if (op < 0 || op >= std::ssize(kRows)) fail(ErrorCode::INVALID_ARGUMENT, "[reduce] there is no reduction number ", op);
  return kRows[op];
}

DType wideDType(DType dtype) { return isReal(dtype) ? dtype : DType::int64; }

DType resultDType(Result result, DType src) {
  switch (result) {
    case Result::wide:
      return wideDType(src);
    case Result::real:
      return realDType(src);
    case Result::boolean:
      return DType::boolean;
    default:
      return src;
  }
}

// One bit for each axis that is folded.
unsigned axisMask(const char* op, const Shape& axes, int ndim) {
  if (axes.size() == 0) return ~0u;
  unsigned mask = 0;
  for (int64_t given : axes) {
    const unsigned bit = 1u << wrapAxis(op, given, ndim);
    if (mask & bit) fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected each axis once but got ", axes.str());
    mask |= bit;
  }
  return mask;
}

void requireElements(const char* op, const Tensor& src, int axis) {
  if (src.dim(axis) == 0)
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected at least one element along axis ", axis, " of shape ", src.shape().str(),
         "; check for empty tensors first");
}

// Dims on the way to a kernel: neighbours that lie evenly in memory become one, so that its inner loops are long.
struct Dims {
  Shape shape, strides;
  void add(int64_t size, int64_t stride) {
    const int last = shape.size() - 1;
    if (size == 1) return;
    if (last >= 0 && strides[last] == size * stride) {
      shape[last] *= size;
      strides[last] = stride;
    } else {
      shape.push(size);
      strides.push(stride);
    }
  }
};

}  // namespace

Tensor reduce(int64_t op, const Tensor& src, const Shape& axes, bool keepdim, double correction) {
  const Row& row = rowOf(op);
  requireStrided(row.name, src);
  const unsigned mask = axisMask(row.name, axes, src.ndim());
  // Kernels fold integers in int64 and reals in float32, so only a change of kind needs a copy.
  const Tensor operand = row.result == Result::real ? cast(src, realDType(src.dtype())) : src;
  Shape shape;
  Dims kept, folded;
  for (int i = 0; i < src.ndim(); ++i) {
    if (mask >> i & 1) {
      if (row.needsElements) requireElements(row.name, src, i);
      folded.add(operand.dim(i), operand.stride(i));
      if (keepdim) shape.push(1);
    } else {
      kept.add(operand.dim(i), operand.stride(i));
      shape.push(operand.dim(i));
    }
  }
  if (folded.shape.size() == 0) {
    folded.shape.push(1);
    folded.strides.push(1);
  }
  const Tensor dst = empty(shape, resultDType(row.result, src.dtype()), src.device());
  const Tensor flatDst = dst.as(kept.shape, contiguousStrides(kept.shape));
  for (int64_t size : folded.shape) kept.shape.push(size);
  for (int64_t stride : folded.strides) kept.strides.push(stride);
  launch<&Backend::reduce>(row.name, mathCost(src.numel()) / 4, static_cast<int32_t>(op), in(operand.as(kept.shape, kept.strides)),
                           out(flatDst), static_cast<int32_t>(folded.shape.size()), correction);
  return dst;
}

Tensor argReduce(int64_t op, const Tensor& src, int64_t axisGiven, bool keepdim) {
  const bool largest = op == static_cast<int64_t>(ReduceOp::max);
  if (!largest && op != static_cast<int64_t>(ReduceOp::min))
    fail(ErrorCode::INVALID_ARGUMENT, "[argReduce] expected reduction max or min but got number ", op);
  const char* name = largest ? "argmax" : "argmin";
  requireStrided(name, src);
  const int axis = wrapAxis(name, axisGiven, src.ndim());
  const Tensor operand = atLeast1d(src);
  requireElements(name, operand, axis);
  Shape shape, result;
  for (int i = 0; i < operand.ndim(); ++i) {
    if (i != axis) shape.push(operand.dim(i));
    if (i != axis) result.push(operand.dim(i));
    else if (keepdim && src.ndim() > 0) result.push(1);
  }
  const Tensor dst = empty(result, DType::int64, src.device());
  launch<&Backend::argReduce>(name, mathCost(src.numel()), static_cast<int32_t>(op), in(moveAxis(operand, axis, operand.ndim() - 1)),
                              out(dst.as(shape, contiguousStrides(shape))));
  return dst;
}

Tensor cumsum(const Tensor& src, int64_t axisGiven) {
  requireStrided("cumsum", src);
  const int axis = wrapAxis("cumsum", axisGiven, src.ndim());
  const Tensor operand = atLeast1d(src);
  const int last = operand.ndim() - 1;
  const Tensor dst = empty(operand.shape(), wideDType(src.dtype()), src.device());
  launch<&Backend::cumsum>("cumsum", mathCost(src.numel()), in(moveAxis(operand, axis, last)), out(moveAxis(dst, axis, last)));
  return reshape(dst, src.shape());
}

}  // namespace quanto::ops
