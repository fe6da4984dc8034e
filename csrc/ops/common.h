// Checks and shape rules that several families share.
#pragma once

#include <optional>

#include "launch.h"

namespace quanto::ops {

// Largest product of a tensor's sizes other than 0, in elements and in bytes: beyond any machine, and far enough from 2^63 that products
// of sizes, strides and counts cannot wrap.
inline constexpr int64_t kMaxElements = int64_t{1} << 47;
// Throws for negative sizes (INVALID_ARGUMENT) and for shapes beyond kMaxElements (OUT_OF_MEMORY).
void checkSize(const char* op, const Shape& shape, int64_t elementBytes = 1);

Tensor empty(const Shape& shape, DType dtype, Device& device);
inline Tensor empty(const Shape& shape, const Tensor& like) { return empty(shape, like.dtype(), like.device()); }
inline Tensor emptyLike(const Tensor& like) { return empty(like.shape(), like.dtype(), like.device()); }

// `src` itself when it is row-major already, else a copy.
Tensor contiguous(Tensor src);
// A weight packed for a kernel as it is, any other one row-major.
inline Tensor packedOrContiguous(Tensor src) {
  if (src.packed()) return src;
  return contiguous(std::move(src));
}
// `src` itself when it has the dtype already, else a converted row-major copy.
Tensor cast(Tensor src, DType dtype);

// PyTorch's broadcasting rule; throws SHAPE_MISMATCH.
Shape broadcastShapes(const char* op, const Shape& a, const Shape& b);
// A view with stride 0 along broadcast dims; the shapes are known to be compatible.
Tensor broadcastTo(const Tensor& src, const Shape& shape);
// The dtype two operands meet in: real beats integer beats bool, wider beats narrower; two different 16-bit floats meet in float32,
// and so do float8 and anything else real.
DType promote(DType a, DType b);
// float32 for integers and bool, the dtype itself for real ones.
inline DType realDType(DType dtype) { return isReal(dtype) ? dtype : DType::float32; }

// Negative axes count from the end; throws INVALID_ARGUMENT.
int wrapAxis(const char* op, int64_t axis, int ndim);
// A 0-d tensor as one of shape [1].
inline Tensor atLeast1d(const Tensor& src) { return src.ndim() > 0 ? src : src.as({1}, {1}); }
// `shape` with another size along one axis.
inline Shape withSize(Shape shape, int axis, int64_t size) {
  shape[axis] = size;
  return shape;
}

void requireReal(const char* op, const char* name, const Tensor& tensor);
void requireDType(const char* op, const char* name, const Tensor& tensor, DType dtype);
// One number of a floating-point dtype: a scale.
void requireOne(const char* op, const char* name, const Tensor& tensor);
// The number of an enumerator, from 0 to `last`; `name` with its article.
int32_t requireChoice(const char* op, const char* name, int64_t value, int64_t last);
inline int32_t requireActivation(const char* op, int64_t value) {
  return requireChoice(op, "an activation", value, static_cast<int64_t>(Activation::silu));
}
void requireShape(const char* op, const char* name, const Tensor& tensor, const Shape& shape);
// Packed weights are opaque to everything but linear layers and unpackWeight.
void requireStrided(const char* op, const Tensor& tensor);
// A strided destination of an in-place op: no two elements share memory.
void requireWritable(const char* op, const Tensor& tensor);

}  // namespace quanto::ops
