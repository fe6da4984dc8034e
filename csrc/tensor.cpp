#include "tensor.h"

#include <algorithm>

namespace quanto {

void Shape::failFull() { fail(ErrorCode::INVALID_ARGUMENT, "[shape] expected at most ", kMaxDims, " dimensions"); }

bool Shape::operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }

int64_t Shape::numel() const {
  int64_t count = 1;
  for (int64_t dim : *this) count *= dim;
  return count;
}

std::string Shape::str() const {
  std::string out = "[";
  for (int i = 0; i < size_; ++i) out += (i ? ", " : "") + std::to_string(dims_[i]);
  return out + "]";
}

Shape contiguousStrides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int i = shape.size() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

Tensor::Tensor(Ref<Storage> storage, const Shape& shape, DType dtype) : storage_(std::move(storage)) {
  view_.dtype = static_cast<int32_t>(dtype);
  *this = as(shape, contiguousStrides(shape), 0);
}

int64_t Tensor::numel() const {
  int64_t count = 1;
  for (int i = 0; i < ndim(); ++i) count *= dim(i);
  return count;
}

bool Tensor::contiguous() const {
  if (packed()) return false;
  int64_t step = 1;
  for (int i = ndim() - 1; i >= 0; --i) {
    if (dim(i) == 0) return true;
    if (dim(i) != 1 && stride(i) != step) return false;
    step *= dim(i);
  }
  return true;
}

Tensor Tensor::as(const Shape& shape, const Shape& strides, int64_t offset) const {
  Tensor out;
  out.storage_ = storage_;
  out.offset_ = offset;
  out.view_.dtype = view_.dtype;
  out.view_.ndim = shape.size();
  std::copy(shape.begin(), shape.end(), out.view_.shape);
  std::copy(strides.begin(), strides.end(), out.view_.strides);
  return out;
}

Tensor Tensor::asPacked(const Shape& shape, DType dtype) const {
  Tensor out = as(shape, contiguousStrides(shape), 0);
  out.view_.dtype = static_cast<int32_t>(dtype);
  out.view_.layout = Layout::packed;
  return out;
}

}  // namespace quanto
