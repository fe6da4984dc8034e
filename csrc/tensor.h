// A tensor of the core: a storage and a strided view on it. Cheap to copy; knows nothing of JS.
#pragma once

#include <initializer_list>
#include <string>

#include "dtype.h"
#include "storage.h"

namespace quanto {

// Up to kMaxDims sizes (or strides, or axes) without a heap allocation.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) {
    for (int64_t dim : dims) push(dim);
  }
  Shape(const int64_t* dims, int ndim) {
    for (int i = 0; i < ndim; ++i) push(dims[i]);
  }
  void push(int64_t dim) {
    if (size_ == kMaxDims) failFull();
    dims_[size_++] = dim;
  }
  int size() const { return size_; }
  int64_t& operator[](int i) { return dims_[i]; }
  int64_t operator[](int i) const { return dims_[i]; }
  const int64_t* begin() const { return dims_; }
  const int64_t* end() const { return dims_ + size_; }
  bool operator==(const Shape& other) const;
  int64_t numel() const;
  std::string str() const;  // "[2, 3]"

 private:
  [[noreturn]] static void failFull();

  int64_t dims_[kMaxDims] = {};
  int size_ = 0;
};

class Tensor {
 public:
  Tensor() = default;
  // Row-major over a whole new storage.
  Tensor(Ref<Storage> storage, const Shape& shape, DType dtype);

  DType dtype() const { return static_cast<DType>(view_.dtype); }
  int ndim() const { return view_.ndim; }
  int64_t dim(int axis) const { return view_.shape[axis]; }
  int64_t stride(int axis) const { return view_.strides[axis]; }
  Shape shape() const { return Shape(view_.shape, view_.ndim); }
  Shape strides() const { return Shape(view_.strides, view_.ndim); }
  int64_t offset() const { return offset_; }
  int64_t numel() const;
  int64_t bytes() const { return numel() * sizeOf(dtype()); }
  bool packed() const { return view_.layout == Layout::packed; }
  bool contiguous() const;
  Device& device() const { return storage_->device(); }
  const Ref<Storage>& storage() const { return storage_; }
  explicit operator bool() const { return static_cast<bool>(storage_); }

  // Another window on the same storage; the caller has checked that it lies within.
  Tensor as(const Shape& shape, const Shape& strides, int64_t offset) const;
  Tensor as(const Shape& shape, const Shape& strides) const { return as(shape, strides, offset_); }
  // The same bytes read as packed codes of a logical [rows, columns] matrix.
  Tensor asPacked(const Shape& shape, DType dtype = DType::int8) const;

  // The view a kernel reads; its data pointer is filled in here, once the storage has memory.
  const View* resolve() {
    view_.data = static_cast<char*>(storage_->data()) + offset_ * sizeOf(dtype());
    return &view_;
  }

 private:
  Ref<Storage> storage_;
  int64_t offset_ = 0;  // elements
  View view_{};
};

Shape contiguousStrides(const Shape& shape);

}  // namespace quanto
