#include "matmul.h"

#include "conv_fused.h"
#include "shape.h"

namespace quanto::ops {

namespace {

Shape leadingDims(const Tensor& tensor, int count) { return Shape(tensor.shape().begin(), count); }

Shape append(Shape shape, std::initializer_list<int64_t> dims) {
  for (int64_t dim : dims) shape.push(dim);
  return shape;
}

template <auto slot>
Tensor batchedMatmul(const char* op, const Tensor& a, const Tensor& b, DType dtype) {
  requireStrided(op, a);
  requireStrided(op, b);
  if (a.ndim() == 0 || b.ndim() == 0)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected operands of at least 1 dimension but got ", a.shape().str(), " and ",
         b.shape().str());
  // A vector is a matrix of one row or one column; the extra dim leaves the result again.
  const Tensor left = a.ndim() == 1 ? a.as({1, a.dim(0)}, {0, a.stride(0)}) : a;
  const Tensor right = b.ndim() == 1 ? b.as({b.dim(0), 1}, {b.stride(0), 0}) : b;
  const int64_t m = left.dim(left.ndim() - 2), k = left.dim(left.ndim() - 1), n = right.dim(right.ndim() - 1);
  if (right.dim(right.ndim() - 2) != k)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected [.., M, K] and [.., K, N] but got ", a.shape().str(), " and ", b.shape().str());
  const Shape batch = broadcastShapes(op, leadingDims(left, left.ndim() - 2), leadingDims(right, right.ndim() - 2));
  const int64_t count = batch.numel();
  const Tensor dst = empty(append(batch, {m, n}), dtype, a.device());
  const Tensor flatA = reshape(broadcastTo(left, append(batch, {m, k})), {count, m, k});
  const Tensor flatB = reshape(broadcastTo(right, append(batch, {k, n})), {count, k, n});
  const double flops = 2.0 * static_cast<double>(count) * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
  launch<slot>(op, flopsCost(flops) + bytesCost(dst.bytes()), in(flatA), in(flatB), out(reshape(dst, {count, m, n})));
  if (a.ndim() > 1 && b.ndim() > 1) return dst;
  Shape shape = batch;
  if (a.ndim() > 1) shape.push(m);
  if (b.ndim() > 1) shape.push(n);
  return reshape(dst, shape);
}

// What every linear layer checks, and the [M, K] form of its input.
struct LinearShape {
  Tensor src, dst;
  int64_t m, n, k;
};

LinearShape linearShape(const char* op, const Tensor& src, const Tensor& weight, const std::optional<Tensor>& bias, DType dtype) {
  requireStrided(op, src);
  if (weight.ndim() != 2) fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a weight [out, in] but got ", weight.shape().str());
  const int64_t n = weight.dim(0), k = weight.dim(1);
  if (src.ndim() == 0 || src.dim(src.ndim() - 1) != k)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected an input [.., ", k, "] for a weight ", weight.shape().str(), " but got ",
         src.shape().str());
  if (bias && (bias->ndim() != 1 || bias->dim(0) != n))
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a bias [", n, "] but got ", bias->shape().str());
  Shape shape = src.shape();
  shape[shape.size() - 1] = n;
  const int64_t m = leadingDims(src, src.ndim() - 1).numel();
  return {contiguous(reshape(src, {m, k})), empty(shape, dtype, src.device()), m, n, k};
}

double linearCost(const LinearShape& shape, int64_t weightBytes) {
  const double flops = 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) * static_cast<double>(shape.k);
  return flopsCost(flops) + bytesCost(weightBytes + shape.dst.bytes());
}

Tensor optionalOperand(const std::optional<Tensor>& tensor, DType dtype) { return tensor ? contiguous(cast(*tensor, dtype)) : Tensor(); }

// float32, float16 or bfloat16.
void requireScaleDType(const char* op, const char* name, const Tensor& tensor) {
  requireReal(op, name, tensor);
  if (sizeOf(tensor.dtype()) == 1)
    fail(ErrorCode::DTYPE_MISMATCH, "[", op, "] expected ", name, " of float32, float16 or bfloat16 but got ", info(tensor.dtype()).name);
}

// [] and [1] stay one number for all; [n, 1], [n, 1, 1, 1] and [n] become [n].
Tensor flatScale(const char* op, const Tensor& scale, int64_t count) {
  if (scale.numel() != 1 && scale.numel() != count)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected one scale or ", count, " but got shape ", scale.shape().str());
  return contiguous(reshape(scale, {scale.numel()}));
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  requireReal("matmul", "a", a);
  requireReal("matmul", "b", b);
  if (a.dtype() != b.dtype())
    fail(ErrorCode::DTYPE_MISMATCH, "[matmul] expected operands of one dtype but got ", info(a.dtype()).name, " and ", info(b.dtype()).name,
         "; convert one with .to()");
  return batchedMatmul<&Backend::matmul>("matmul", a, b, a.dtype());
}

Tensor intMatmul(const Tensor& a, const Tensor& b) {
  requireDType("intMatmul", "a", a, DType::int8);
  requireDType("intMatmul", "b", b, DType::int8);
  return batchedMatmul<&Backend::intMatmul>("intMatmul", a, b, DType::int32);
}

Tensor linear(const Tensor& src, const Tensor& weight, const std::optional<Tensor>& bias) {
  requireReal("linear", "input", src);
  requireDType("linear", "weight", weight, src.dtype());
  requireStrided("linear", weight);
  const LinearShape shape = linearShape("linear", src, weight, bias, src.dtype());
  launch<&Backend::linear>("linear", linearCost(shape, weight.bytes()), in(shape.src), in(contiguous(weight)),
                           in(optionalOperand(bias, src.dtype())), out(reshape(shape.dst, {shape.m, shape.n})));
  return shape.dst;
}

Tensor linearWeightOnly(const Tensor& src, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias) {
  requireReal("linearWeightOnly", "input", src);
  requireDType("linearWeightOnly", "weight", weight, DType::int8);
  requireReal("linearWeightOnly", "scale", scale);
  const LinearShape shape = linearShape("linearWeightOnly", src, weight, bias, src.dtype());
  launch<&Backend::linearWeightOnly>("linearWeightOnly", linearCost(shape, weight.bytes()), in(shape.src),
                                     in(weight.packed() ? weight : contiguous(weight)), in(flatScale("linearWeightOnly", scale, shape.n)),
                                     in(optionalOperand(bias, src.dtype())), out(reshape(shape.dst, {shape.m, shape.n})));
  return shape.dst;
}

Tensor linearInt8(const Tensor& src, const std::optional<Tensor>& srcScale, const Tensor& weight, const Tensor& scale,
                  const std::optional<Tensor>& bias, const std::optional<Tensor>& outScale, int64_t activation) {
  const char* op = "linearInt8";
  const bool codes = src.dtype() == DType::int8;
  if (!codes) requireScaleDType(op, "input", src);
  requireDType(op, "weight codes", weight, DType::int8);
  requireScaleDType(op, "weight scale", scale);
  if (codes && !srcScale) fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected a scale for int8 input codes but got none");
  if (srcScale && codes) requireReal(op, "input scale", *srcScale);
  else if (srcScale) requireDType(op, "input scale", *srcScale, src.dtype());
  if (outScale) requireDType(op, "output scale", *outScale, scale.dtype());
  if (activation < 0 || activation > static_cast<int64_t>(Activation::silu))
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected an activation from 0 to ", static_cast<int64_t>(Activation::silu), " but got ",
         activation);
  const LinearShape shape = linearShape(op, src, weight, bias, outScale ? DType::int8 : scale.dtype());
  launch<&Backend::linearInt8>(
      op, linearCost(shape, weight.bytes()) / 4, in(shape.src), in(srcScale ? flatScale(op, *srcScale, codes ? shape.m : 1) : Tensor()),
      in(weight.packed() ? weight : contiguous(weight)), in(flatScale(op, scale, shape.n)), in(optionalOperand(bias, scale.dtype())),
      in(outScale ? flatScale(op, *outScale, 1) : Tensor()), out(reshape(shape.dst, {shape.m, shape.n})), static_cast<int32_t>(activation));
  return shape.dst;
}

Tensor packWeight(const Tensor& src) {
  requireDType("packWeight", "weight", src, DType::int8);
  if (src.ndim() == 4) return packConvWeight(src);
  if (src.ndim() != 2)
    fail(ErrorCode::SHAPE_MISMATCH, "[packWeight] expected [out, in] or [O, C / groups, kh, kw] but got ", src.shape().str());
  // A device that packs nothing keeps the row-major form, which its kernels read as well.
  if (src.packed() || !src.device().backend.packedBytes) return src;
  const int64_t bytes = static_cast<int64_t>(src.device().backend.packedBytes(src.dim(0), src.dim(1)));
  const Tensor dst = empty({bytes}, DType::uint8, src.device());
  launch<&Backend::packWeight>("packWeight", bytesCost(2 * bytes), in(contiguous(src)), out(dst));
  return dst.asPacked(src.shape());
}

Tensor unpackWeight(const Tensor& src) {
  if (!src.packed()) return src;
  if (src.ndim() == 4) return unpackConvWeight(src);
  const Tensor dst = empty(src.shape(), DType::int8, src.device());
  launch<&Backend::unpackWeight>("unpackWeight", bytesCost(2 * dst.bytes()), in(src), out(dst));
  return dst;
}

}  // namespace quanto::ops
