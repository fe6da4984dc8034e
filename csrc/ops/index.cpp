#include "index.h"

#include <algorithm>

#include "creation.h"
#include "shape.h"

namespace quanto::ops {

namespace {

Tensor indexOperand(const char* op, const Tensor& index) {
  if (index.dtype() != DType::int64 && index.dtype() != DType::int32)
    fail(ErrorCode::DTYPE_MISMATCH, "[", op, "] expected an index of dtype int64 or int32 but got ", info(index.dtype()).name,
         "; convert it with .to('int64')");
  return cast(index, DType::int64);
}

int axisOf(const char* op, const Tensor& src, int64_t axis) {
  requireStrided(op, src);
  if (src.ndim() == 0) fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a tensor of at least 1 dimension but got a 0-d one");
  return wrapAxis(op, axis, src.ndim());
}

void requireVector(const char* op, const Tensor& index) {
  if (index.ndim() != 1) fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a 1-D index but got shape ", index.shape().str());
}

// `index` must not reach beyond `tensor` in any dim but `exceptAxis`.
void requireWithin(const char* op, const char* name, const Tensor& index, const Tensor& tensor, int exceptAxis) {
  bool fits = index.ndim() == tensor.ndim();
  for (int i = 0; fits && i < index.ndim(); ++i) fits = i == exceptAxis || index.dim(i) <= tensor.dim(i);
  if (!fits)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected an index with the dimensions of ", name, " ", tensor.shape().str(),
         " and sizes no larger but got ", index.shape().str());
}

// A copy of src to add to in place: float32 for narrow floats, which would round at every step.
Tensor accumulatorOf(const Tensor& src) {
  const DType dtype = isReal(src.dtype()) ? DType::float32 : src.dtype();
  return dtype == src.dtype() ? clone(src) : cast(src, dtype);
}

}  // namespace

Tensor gather(const Tensor& src, int64_t axisGiven, const Tensor& index) {
  const int axis = axisOf("gather", src, axisGiven);
  requireWithin("gather", "the input", index, src, axis);
  const Tensor dst = empty(index.shape(), src);
  launch<&Backend::gather>("gather", mathCost(dst.numel()), in(src), in(indexOperand("gather", index)), out(dst), axis);
  return dst;
}

Tensor scatterAdd(const Tensor& src, int64_t axisGiven, const Tensor& index, const Tensor& updates) {
  const int axis = axisOf("scatterAdd", src, axisGiven);
  requireDType("scatterAdd", "updates", updates, src.dtype());
  requireStrided("scatterAdd", updates);
  requireWithin("scatterAdd", "the input", index, src, axis);
  requireWithin("scatterAdd", "updates", index, updates, -1);
  const Tensor sum = accumulatorOf(src);
  const Tensor used = updates.as(index.shape(), updates.strides());
  launch<&Backend::scatterAdd>("scatterAdd", mathCost(index.numel()), in(indexOperand("scatterAdd", index)), in(cast(used, sum.dtype())),
                               inOut(sum), axis);
  return cast(sum, src.dtype());
}

Tensor indexSelect(const Tensor& src, int64_t axisGiven, const Tensor& index) {
  const int axis = axisOf("indexSelect", src, axisGiven);
  requireVector("indexSelect", index);
  const Tensor dst = empty(withSize(src.shape(), axis, index.dim(0)), src);
  launch<&Backend::indexSelect>("indexSelect", bytesCost(2 * dst.bytes()), in(src), in(indexOperand("indexSelect", index)), out(dst), axis);
  return dst;
}

Tensor indexAdd(const Tensor& src, int64_t axisGiven, const Tensor& index, const Tensor& updates) {
  const int axis = axisOf("indexAdd", src, axisGiven);
  requireVector("indexAdd", index);
  requireDType("indexAdd", "updates", updates, src.dtype());
  requireShape("indexAdd", "updates", updates, withSize(src.shape(), axis, index.dim(0)));
  const Tensor sum = accumulatorOf(src);
  launch<&Backend::indexAdd>("indexAdd", mathCost(updates.numel()), in(indexOperand("indexAdd", index)), in(cast(updates, sum.dtype())),
                             inOut(sum), axis);
  return cast(sum, src.dtype());
}

Tensor embedding(const Tensor& weight, const Tensor& index) {
  if (weight.ndim() != 2) fail(ErrorCode::SHAPE_MISMATCH, "[embedding] expected a weight [rows, d] but got ", weight.shape().str());
  requireStrided("embedding", weight);
  Shape shape = index.shape();
  shape.push(weight.dim(1));
  const Tensor flat = reshape(indexOperand("embedding", index), {index.numel()});
  const Tensor dst = empty(shape, weight);
  launch<&Backend::indexSelect>("embedding", bytesCost(2 * dst.bytes()), in(weight), in(flat),
                                out(dst.as({index.numel(), weight.dim(1)}, {weight.dim(1), 1})), 0);
  return dst;
}

Tensor embeddingBackward(const Tensor& dout, const Tensor& index, int64_t rows) {
  requireReal("embeddingBackward", "output gradient", dout);
  if (dout.ndim() == 0) fail(ErrorCode::SHAPE_MISMATCH, "[embeddingBackward] expected an output gradient [.., d] but got a 0-d tensor");
  const int64_t d = dout.dim(dout.ndim() - 1);
  Shape shape = index.shape();
  shape.push(d);
  requireShape("embeddingBackward", "output gradient", dout, shape);
  const Tensor sum = full({rows, d}, 0, DType::float32, dout.device());
  const Tensor updates = reshape(cast(dout, DType::float32), {index.numel(), d});
  const Tensor flat = reshape(indexOperand("embeddingBackward", index), {index.numel()});
  launch<&Backend::indexAdd>("embeddingBackward", mathCost(dout.numel()), in(flat), in(updates), inOut(sum), 0);
  return cast(sum, dout.dtype());
}

std::vector<Tensor> topk(const Tensor& src, int64_t k, int64_t axisGiven, bool largest) {
  const int axis = axisOf("topk", src, axisGiven);
  if (k < 0 || k > src.dim(axis))
    fail(ErrorCode::INVALID_ARGUMENT, "[topk] expected k from 0 to ", src.dim(axis), ", the size of axis ", axis, ", but got ", k);
  const Shape shape = withSize(src.shape(), axis, k);
  const Tensor values = empty(shape, src), indices = empty(shape, DType::int64, src.device());
  const int last = src.ndim() - 1;
  launch<&Backend::topk>("topk", 2 * mathCost(src.numel()), in(moveAxis(src, axis, last)), out(moveAxis(values, axis, last)),
                         out(moveAxis(indices, axis, last)), static_cast<int32_t>(largest));
  return {values, indices};
}

Tensor triangular(const Tensor& src, int64_t diagonal, bool upper) {
  requireStrided("triangular", src);
  if (src.ndim() < 2)
    fail(ErrorCode::SHAPE_MISMATCH, "[triangular] expected a tensor of at least 2 dimensions but got shape ", src.shape().str());
  // Diagonals outside the matrix are all alike; the nearest one keeps the kernel's sums small.
  const int64_t inside = std::clamp(diagonal, -src.dim(src.ndim() - 2), src.dim(src.ndim() - 1));
  const Tensor dst = emptyLike(src);
  launch<&Backend::triangular>("triangular", bytesCost(2 * dst.bytes()), in(src), out(dst), inside, static_cast<int32_t>(upper));
  return dst;
}

}  // namespace quanto::ops
