#pragma once

#include <vector>

#include "common.h"

namespace quanto::ops {

// Views. They share storage and move no data; `reshape` copies where no view has the shape.
Tensor reshape(const Tensor& src, const Shape& shape);
Tensor view(const Tensor& src, const Shape& shape);  // throws where reshape would copy
Tensor permute(const Tensor& src, const Shape& axes);
Tensor expand(const Tensor& src, const Shape& shape);
// Elements start, start + step, ... below end along an axis; step >= 1. Bounds are clamped as in Python.
Tensor slice(const Tensor& src, int64_t axis, int64_t start, int64_t end, int64_t step);
Tensor select(const Tensor& src, int64_t axis, int64_t index);
// The axis `from` (counted from 0) moved to the place `to`; the others keep their order.
Tensor moveAxis(const Tensor& src, int from, int to);
// A new handle on the same view.
Tensor alias(const Tensor& src);

Tensor cat(const std::vector<Tensor>& tensors, int64_t axis);
// before and after each dim; constant value
Tensor pad(const Tensor& src, const Shape& before, const Shape& after, double value);
Tensor clone(const Tensor& src);
Tensor toDType(const Tensor& src, DType dtype);
Tensor toDevice(const Tensor& src, Device& device);
Tensor makeContiguous(const Tensor& src);
// dst[...] = src, broadcast and converted
void copyInPlace(const Tensor& dst, const Tensor& src);
void fillInPlace(const Tensor& dst, double value);
// The bytes of a row-major tensor read as another dtype: the last dim of `shape` follows from the caller.
Tensor viewBytes(const Tensor& src, int64_t byteOffset, DType dtype, const Shape& shape);

}  // namespace quanto::ops
