#include "shape.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "transfer.h"

namespace quanto::ops {

namespace {

// Replaces one -1 by the size that fits.
Shape resolveShape(const char* op, const Tensor& src, const Shape& shape) {
  Shape resolved = shape;
  int unknown = -1;
  for (int i = 0; i < shape.size(); ++i) {
    if (shape[i] >= 0) continue;
    if (shape[i] != -1 || unknown >= 0)
      fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected sizes of at least 0, and at most one -1, but got ", shape.str());
    unknown = i;
    resolved[i] = 1;
  }
  checkSize(op, resolved);
  const int64_t known = resolved.numel();
  if (unknown >= 0 && known > 0 && src.numel() % known == 0) resolved[unknown] = src.numel() / known;
  else if (unknown >= 0 && known == 0 && src.numel() == 0) resolved[unknown] = 0;
  else if (unknown >= 0 || known != src.numel())
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a shape of ", src.numel(), " elements for a tensor of shape ", src.shape().str(),
         " but got ", shape.str());
  return resolved;
}

// Strides that give `src`'s elements, in order, the new shape; none when they do not lie evenly.
std::optional<Shape> viewStrides(const Tensor& src, const Shape& shape) {
  Shape strides = contiguousStrides(shape);
  if (src.numel() == 0 || src.contiguous()) return strides;
  // Walk both shapes from the end, matching runs of source dims that are contiguous among themselves.
  int to = shape.size() - 1;
  int from = src.ndim() - 1;
  while (from >= 0) {
    int64_t run = src.dim(from), step = src.stride(from);
    while (from > 0 && (src.dim(from - 1) == 1 || run == 1 || src.stride(from - 1) == run * step)) {
      --from;
      if (run == 1) step = src.stride(from);
      run *= src.dim(from);
    }
    --from;
    int64_t filled = 1;
    while (to >= 0 && (filled < run || shape[to] == 1)) {
      strides[to] = filled * step;
      filled *= shape[to];
      --to;
    }
    if (filled != run) return std::nullopt;
  }
  return strides;
}

}  // namespace

Tensor reshape(const Tensor& src, const Shape& shape) {
  requireStrided("reshape", src);
  if (src.shape() == shape) return src;
  const Shape resolved = resolveShape("reshape", src, shape);
  if (const auto strides = viewStrides(src, resolved)) return src.as(resolved, *strides);
  return contiguous(src).as(resolved, contiguousStrides(resolved));
}

Tensor view(const Tensor& src, const Shape& shape) {
  requireStrided("view", src);
  const Shape resolved = resolveShape("view", src, shape);
  const auto strides = viewStrides(src, resolved);
  if (!strides)
    fail(ErrorCode::INVALID_ARGUMENT, "[view] a tensor of shape ", src.shape().str(), " and strides ", src.strides().str(),
         " has no view of shape ", resolved.str(), "; use reshape, which copies where it must");
  return src.as(resolved, *strides);
}

Tensor permute(const Tensor& src, const Shape& axes) {
  requireStrided("permute", src);
  if (axes.size() != src.ndim())
    fail(ErrorCode::INVALID_ARGUMENT, "[permute] expected ", src.ndim(), " axes for shape ", src.shape().str(), " but got ", axes.str());
  Shape shape, strides;
  unsigned seen = 0;
  for (int64_t given : axes) {
    const int axis = wrapAxis("permute", given, src.ndim());
    if (seen & (1u << axis)) fail(ErrorCode::INVALID_ARGUMENT, "[permute] expected each axis once but got ", axes.str());
    seen |= 1u << axis;
    shape.push(src.dim(axis));
    strides.push(src.stride(axis));
  }
  return src.as(shape, strides);
}

Tensor expand(const Tensor& src, const Shape& shape) {
  requireStrided("expand", src);
  Shape resolved = shape;
  const int lead = shape.size() - src.ndim();
  for (int i = 0; i < shape.size(); ++i)
    if (shape[i] == -1 && i >= lead) resolved[i] = src.dim(i - lead);
  bool fits = lead >= 0;
  for (int i = lead; fits && i < shape.size(); ++i) fits = src.dim(i - lead) == resolved[i] || src.dim(i - lead) == 1;
  for (int64_t dim : resolved) fits = fits && dim >= 0;
  if (!fits) fail(ErrorCode::SHAPE_MISMATCH, "[expand] expected a shape that ", src.shape().str(), " broadcasts to but got ", shape.str());
  return broadcastTo(src, resolved);
}

Tensor slice(const Tensor& src, int64_t axisGiven, int64_t start, int64_t end, int64_t step) {
  requireStrided("slice", src);
  if (src.ndim() == 0) fail(ErrorCode::INVALID_ARGUMENT, "[slice] expected at least 1 dimension but got a 0-d tensor");
  const int axis = wrapAxis("slice", axisGiven, src.ndim());
  if (step < 1) fail(ErrorCode::INVALID_ARGUMENT, "[slice] expected a step of at least 1 but got ", step);
  const int64_t size = src.dim(axis);
  const auto bound = [size](int64_t position) { return std::clamp<int64_t>(position < 0 ? position + size : position, 0, size); };
  const int64_t first = bound(start), last = std::max(first, bound(end));
  Shape shape = src.shape(), strides = src.strides();
  // A step beyond the size takes one element, as the size itself does, and cannot overflow the stride.
  const int64_t used = std::min(step, std::max<int64_t>(size, 1));
  shape[axis] = (last - first + used - 1) / used;
  strides[axis] *= used;
  return src.as(shape, strides, src.offset() + (shape[axis] > 0 ? first * src.stride(axis) : 0));
}

Tensor select(const Tensor& src, int64_t axisGiven, int64_t index) {
  requireStrided("select", src);
  if (src.ndim() == 0) fail(ErrorCode::INVALID_ARGUMENT, "[select] expected at least 1 dimension but got a 0-d tensor");
  const int axis = wrapAxis("select", axisGiven, src.ndim());
  const int64_t size = src.dim(axis), position = index < 0 ? index + size : index;
  if (position < 0 || position >= size)
    fail(ErrorCode::INDEX_OUT_OF_RANGE, "[select] expected an index from ", -size, " to ", size - 1, " along axis ", axis, " of shape ",
         src.shape().str(), " but got ", index);
  Shape shape, strides;
  for (int i = 0; i < src.ndim(); ++i) {
    if (i == axis) continue;
    shape.push(src.dim(i));
    strides.push(src.stride(i));
  }
  return src.as(shape, strides, src.offset() + position * src.stride(axis));
}

Tensor moveAxis(const Tensor& src, int from, int to) {
  Shape shape, strides;
  for (int i = 0; i < src.ndim(); ++i) {
    // Where the axis at place i of the result comes from.
    const int axis = i == to ? from : i - (i > to) + (i - (i > to) >= from);
    shape.push(src.dim(axis));
    strides.push(src.stride(axis));
  }
  return src.as(shape, strides);
}

Tensor alias(const Tensor& src) { return src; }

Tensor cat(const std::vector<Tensor>& tensors, int64_t axisGiven) {
  if (tensors.empty()) fail(ErrorCode::INVALID_ARGUMENT, "[cat] expected at least one tensor");
  const Tensor& first = tensors.front();
  if (first.ndim() == 0) fail(ErrorCode::INVALID_ARGUMENT, "[cat] expected tensors of at least 1 dimension; use stack for 0-d tensors");
  const int axis = wrapAxis("cat", axisGiven, first.ndim());
  Shape shape = first.shape();
  DType dtype = first.dtype();
  shape[axis] = 0;
  for (const Tensor& tensor : tensors) {
    requireStrided("cat", tensor);
    bool fits = tensor.ndim() == first.ndim();
    for (int i = 0; fits && i < first.ndim(); ++i) fits = i == axis || tensor.dim(i) == first.dim(i);
    if (!fits)
      fail(ErrorCode::SHAPE_MISMATCH, "[cat] expected shapes equal but for axis ", axis, " but got ", first.shape().str(), " and ",
           tensor.shape().str());
    dtype = promote(dtype, tensor.dtype());
    shape[axis] += tensor.dim(axis);
    checkSize("cat", shape);
  }
  const Tensor dst = empty(shape, dtype, first.device());
  int64_t start = 0;
  for (const Tensor& tensor : tensors) {
    const Tensor part = slice(dst, axis, start, start + tensor.dim(axis), 1);
    start += tensor.dim(axis);
    launch<&Backend::copy>("cat", bytesCost(2 * part.bytes()), in(tensor), out(part));
  }
  return dst;
}

Tensor pad(const Tensor& src, const Shape& before, const Shape& after, double value) {
  requireStrided("pad", src);
  if (before.size() != src.ndim() || after.size() != src.ndim())
    fail(ErrorCode::INVALID_ARGUMENT, "[pad] expected a size before and after each of ", src.ndim(), " dimensions");
  Shape shape = src.shape();
  for (int i = 0; i < src.ndim(); ++i) {
    if (before[i] < 0 || after[i] < 0) fail(ErrorCode::INVALID_ARGUMENT, "[pad] expected sizes of at least 0; use slice to crop");
    // More than the largest size is refused below, whatever it is.
    shape[i] += std::min(before[i], kMaxElements) + std::min(after[i], kMaxElements);
  }
  const Tensor dst = empty(shape, src);
  launch<&Backend::fill>("pad", bytesCost(dst.bytes()), out(dst), value);
  Tensor inner = dst;
  for (int i = 0; i < src.ndim(); ++i) inner = slice(inner, i, before[i], before[i] + src.dim(i), 1);
  launch<&Backend::copy>("pad", bytesCost(2 * src.bytes()), in(src), out(inner));
  return dst;
}

Tensor clone(const Tensor& src) {
  if (src.packed()) {
    // Packed bytes are copied as they are; only their count is known here.
    const Tensor bytes = Tensor(src.storage(), {src.storage()->bytes()}, DType::uint8);
    return clone(bytes).asPacked(src.shape(), src.dtype());
  }
  const Tensor dst = emptyLike(src);
  launch<&Backend::copy>("clone", bytesCost(2 * dst.bytes()), in(src), out(dst));
  return dst;
}

Tensor toDType(const Tensor& src, DType dtype) { return cast(src, dtype); }

Tensor makeContiguous(const Tensor& src) { return contiguous(src); }

void copyInPlace(const Tensor& dst, const Tensor& src) {
  requireWritable("copy_", dst);
  requireStrided("copy_", src);
  const Tensor source = expand(src, dst.shape());
  // The copy kernel may split its range over threads, so a source that overlaps the destination is read out first.
  const bool overlaps = source.storage() == dst.storage();
  launch<&Backend::copy>("copy_", bytesCost(2 * dst.bytes()), in(overlaps ? clone(source) : source), inOut(dst));
}

void fillInPlace(const Tensor& dst, double value) {
  requireWritable("fill_", dst);
  launch<&Backend::fill>("fill_", bytesCost(dst.bytes()), inOut(dst), value);
}

Tensor viewBytes(const Tensor& src, int64_t byteOffset, DType dtype, const Shape& shape) {
  requireDType("viewBytes", "bytes", src, DType::uint8);
  if (!src.contiguous()) fail(ErrorCode::INVALID_ARGUMENT, "[viewBytes] expected row-major bytes; call contiguous() first");
  checkSize("viewBytes", shape, sizeOf(dtype));
  const int64_t bytes = shape.numel() * sizeOf(dtype);
  if (byteOffset < 0 || bytes > src.numel() - byteOffset)
    fail(ErrorCode::INVALID_ARGUMENT, "[viewBytes] expected ", bytes, " bytes from ", byteOffset, " on to lie within ", src.numel(),
         " bytes");
  const int64_t start = src.offset() + byteOffset;
  if (start % sizeOf(dtype) != 0) {
    const Tensor aligned = clone(src.as({bytes}, {1}, start));
    return viewBytes(aligned, 0, dtype, shape);
  }
  return Tensor(src.storage(), shape, dtype).as(shape, contiguousStrides(shape), start / sizeOf(dtype));
}

Tensor toDevice(const Tensor& src, Device& device) {
  if (&src.device() == &device) return src;
  return moveBytes(packedOrContiguous(src), device);
}

}  // namespace quanto::ops
