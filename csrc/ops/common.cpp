#include "common.h"

#include <algorithm>

namespace quanto::ops {

void checkSize(const char* op, const Shape& shape, int64_t elementBytes) {
  int64_t bytes = elementBytes;
  for (int64_t dim : shape) {
    if (dim < 0) fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected sizes of at least 0 but got ", shape.str());
    // Sizes beside a 0 count too: strides are products of them.
    if (__builtin_mul_overflow(bytes, std::max<int64_t>(dim, 1), &bytes) || bytes > kMaxElements)
      fail(ErrorCode::OUT_OF_MEMORY, "[", op, "] a tensor of shape ", shape.str(), " is larger than any memory");
  }
}

Tensor empty(const Shape& shape, DType dtype, Device& device) {
  checkSize("shape", shape, sizeOf(dtype));
  const int64_t bytes = shape.numel() * sizeOf(dtype);
  return Tensor(Ref<Storage>(new Storage(*Environment::current().account, device, bytes)), shape, dtype);
}

Tensor contiguous(Tensor src) {
  requireStrided("contiguous", src);
  if (src.contiguous()) return src;
  const Tensor dst = emptyLike(src);
  launch<&Backend::copy>("contiguous", bytesCost(2 * dst.bytes()), in(src), out(dst));
  return dst;
}

Tensor cast(Tensor src, DType dtype) {
  requireStrided("to", src);
  if (src.dtype() == dtype) return src;
  const Tensor dst = empty(src.shape(), dtype, src.device());
  launch<&Backend::copy>("to", bytesCost(src.bytes() + dst.bytes()), in(src), out(dst));
  return dst;
}

Shape broadcastShapes(const char* op, const Shape& a, const Shape& b) {
  const int ndim = std::max(a.size(), b.size());
  Shape result;
  for (int i = 0; i < ndim; ++i) {
    const int ia = i - (ndim - a.size()), ib = i - (ndim - b.size());
    const int64_t da = ia < 0 ? 1 : a[ia], db = ib < 0 ? 1 : b[ib];
    if (da != db && da != 1 && db != 1)
      fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected shapes that broadcast together but got ", a.str(), " and ", b.str(), ": sizes ",
           da, " and ", db, " differ in dimension ", i, " and neither is 1");
    result.push(da == 1 ? db : da);
  }
  return result;
}

Tensor broadcastTo(const Tensor& src, const Shape& shape) {
  if (src.shape() == shape) return src;
  // Strides of 0 let a tiny storage claim any size.
  checkSize("broadcast", shape);
  Shape strides;
  const int lead = shape.size() - src.ndim();
  for (int i = 0; i < shape.size(); ++i) strides.push(i < lead || (src.dim(i - lead) == 1 && shape[i] != 1) ? 0 : src.stride(i - lead));
  return src.as(shape, strides);
}

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (info(a).kind != info(b).kind) return info(a).kind < info(b).kind ? a : b;
  if (isReal(a)) return DType::float32;
  // uint8 with int8 meet in int16 in PyTorch, which is not a dtype here.
  if (sizeOf(a) == sizeOf(b)) return DType::int32;
  return sizeOf(a) > sizeOf(b) ? a : b;
}

int wrapAxis(const char* op, int64_t axis, int ndim) {
  const int64_t range = std::max(ndim, 1);
  if (axis < -range || axis >= range)
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected an axis from ", -range, " to ", range - 1, " but got ", axis);
  return static_cast<int>(axis < 0 ? axis + range : axis);
}

void requireReal(const char* op, const char* name, const Tensor& tensor) {
  if (!isReal(tensor.dtype()))
    fail(ErrorCode::DTYPE_MISMATCH, "[", op, "] expected ", name, " of a floating-point dtype but got ", info(tensor.dtype()).name,
         "; convert it with .to('float32')");
}

void requireDType(const char* op, const char* name, const Tensor& tensor, DType dtype) {
  if (tensor.dtype() != dtype)
    fail(ErrorCode::DTYPE_MISMATCH, "[", op, "] expected ", name, " of dtype ", info(dtype).name, " but got ", info(tensor.dtype()).name,
         "; convert it with .to('", info(dtype).name, "')");
}

int32_t requireChoice(const char* op, const char* name, int64_t value, int64_t last) {
  if (value < 0 || value > last) fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected ", name, " from 0 to ", last, " but got ", value);
  return static_cast<int32_t>(value);
}

void requireOne(const char* op, const char* name, const Tensor& tensor) {
  requireReal(op, name, tensor);
  if (tensor.numel() != 1) fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected one ", name, " but got shape ", tensor.shape().str());
}

void requireShape(const char* op, const char* name, const Tensor& tensor, const Shape& shape) {
  if (!(tensor.shape() == shape))
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected ", name, " of shape ", shape.str(), " but got ", tensor.shape().str());
}

void requireStrided(const char* op, const Tensor& tensor) {
  if (tensor.packed())
    fail(ErrorCode::NOT_SUPPORTED, "[", op,
         "] got a packed int8 weight, which only linear layers and convolutions read; unpack it with unpackWeight first");
}

void requireWritable(const char* op, const Tensor& tensor) {
  requireStrided(op, tensor);
  for (int i = 0; i < tensor.ndim(); ++i)
    if (tensor.dim(i) > 1 && tensor.stride(i) == 0 && tensor.numel() > 0)
      fail(ErrorCode::INVALID_ARGUMENT, "[", op,
           "] expected a destination with memory for each element but got an expanded tensor of shape ", tensor.shape().str(),
           "; write to contiguous() of it");
}

}  // namespace quanto::ops
