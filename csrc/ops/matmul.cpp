#include "matmul.h"

#include "binary.h"
#include "conv_fused.h"
#include "shape.h"

namespace quanto::ops {

namespace {

Shape leadingDims(const Tensor& tensor, int count) { return Shape(tensor.shape().begin(), count); }

Shape append(Shape shape, std::initializer_list<int64_t> dims) {
  for (int64_t dim : dims) shape.push(dim);
  return shape;
}

// `between` are operands of the slot between b and the result.
template <auto slot, class... Between>
Tensor batchedMatmul(const char* op, const Tensor& a, const Tensor& b, DType dtype, Between... between) {
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
  launch<slot>(op, flopsCost(flops) + bytesCost(dst.bytes()), in(flatA), in(flatB), between..., out(reshape(dst, {count, m, n})));
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

// int8 codes with their scale, or real values that are quantized: with one scale of their dtype, or each row with its own.
void requireCodeSource(const char* op, const Tensor& src, const std::optional<Tensor>& srcScale) {
  const bool codes = src.dtype() == DType::int8;
  if (!codes) requireScaleDType(op, "input", src);
  if (codes && !srcScale) fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected a scale for int8 input codes but got none");
  if (srcScale && codes) requireReal(op, "input scale", *srcScale);
  else if (srcScale) requireDType(op, "input scale", *srcScale, src.dtype());
}

Tensor codeScale(const char* op, const Tensor& src, const std::optional<Tensor>& srcScale, int64_t rows) {
  return srcScale ? flatScale(op, *srcScale, src.dtype() == DType::int8 ? rows : 1) : Tensor();
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

Tensor intMatmulScaled(const Tensor& a, const Tensor& b, const Tensor& scale, DType dtype) {
  const char* op = "intMatmulScaled";
  requireDType(op, "a", a, DType::int8);
  requireDType(op, "b", b, DType::int8);
  requireDType(op, "scale", scale, DType::float32);
  requireStrided(op, scale);
  requireOne(op, "scale", scale);
  if (!isReal(dtype)) fail(ErrorCode::DTYPE_MISMATCH, "[", op, "] expected a floating-point dtype but got ", info(dtype).name);
  if (!a.device().backend.intMatmulScaled)
    return cast(binary(static_cast<int64_t>(BinaryOp::mul), cast(intMatmul(a, b), DType::float32), reshape(scale, {})), dtype);
  return batchedMatmul<&Backend::intMatmulScaled>(op, a, b, dtype, in(contiguous(reshape(scale, {1}))));
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

namespace {

int32_t requirePrecision(const char* op, int64_t precision) {
  return requireChoice(op, "a precision", precision, static_cast<int64_t>(Precision::medium));
}

}  // namespace

Tensor linearWeightOnly(const Tensor& src, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& bias,
                        int64_t precision) {
  requireReal("linearWeightOnly", "input", src);
  requireDType("linearWeightOnly", "weight", weight, DType::int8);
  requireReal("linearWeightOnly", "scale", scale);
  const LinearShape shape = linearShape("linearWeightOnly", src, weight, bias, src.dtype());
  launch<&Backend::linearWeightOnly>("linearWeightOnly", linearCost(shape, weight.bytes()), in(shape.src), in(packedOrContiguous(weight)),
                                     in(flatScale("linearWeightOnly", scale, shape.n)), in(optionalOperand(bias, src.dtype())),
                                     out(reshape(shape.dst, {shape.m, shape.n})), requirePrecision("linearWeightOnly", precision));
  return shape.dst;
}

Tensor linearInt8(const Tensor& src, const std::optional<Tensor>& srcScale, const Tensor& weight, const Tensor& scale,
                  const std::optional<Tensor>& bias, const std::optional<Tensor>& outScale, int64_t activation) {
  const char* op = "linearInt8";
  requireCodeSource(op, src, srcScale);
  requireDType(op, "weight codes", weight, DType::int8);
  requireScaleDType(op, "weight scale", scale);
  if (outScale) requireDType(op, "output scale", *outScale, scale.dtype());
  const int32_t follows = requireActivation(op, activation);
  const LinearShape shape = linearShape(op, src, weight, bias, outScale ? DType::int8 : scale.dtype());
  launch<&Backend::linearInt8>(op, linearCost(shape, weight.bytes()) / 4, in(shape.src), in(codeScale(op, src, srcScale, shape.m)),
                               in(packedOrContiguous(weight)), in(flatScale(op, scale, shape.n)), in(optionalOperand(bias, scale.dtype())),
                               in(outScale ? flatScale(op, *outScale, 1) : Tensor()), out(reshape(shape.dst, {shape.m, shape.n})), follows);
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
  requireDType("unpackWeight", "weight", src, DType::int8);
  if (src.ndim() == 4) return unpackConvWeight(src);
  const Tensor dst = empty(src.shape(), DType::int8, src.device());
  launch<&Backend::unpackWeight>("unpackWeight", bytesCost(2 * dst.bytes()), in(src), out(dst));
  return dst;
}

namespace {

// Of a weight for linearBits: bits, dtype and groups that fit together.
void requireBits(const char* op, DType dtype, int64_t columns, int64_t bits, int64_t groupSize) {
  const bool float8 = isReal(dtype) && sizeOf(dtype) == 1;
  if (!(float8 ? bits == 8 : dtype == DType::uint8 && (bits == 2 || bits == 4)))
    fail(ErrorCode::DTYPE_MISMATCH, "[", op, "] expected uint8 codes of 2 or 4 bits, or float8 codes of 8, but got ", info(dtype).name,
         " of ", bits);
  if (groupSize <= 0 || columns % groupSize != 0)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a group size that divides ", columns, " but got ", groupSize);
}

size_t bitsBytes(const char* op, const Device& device, const Shape& shape, DType dtype, int64_t bits, int64_t groupSize) {
  if (!device.backend.packedBitsBytes) detail::failMissingSlot(op, device);
  return device.backend.packedBitsBytes(shape[0], shape[1], static_cast<int32_t>(dtype), static_cast<int32_t>(bits), groupSize);
}

// A packed weight is opaque: its size in memory is what shows that it was packed with these bits and groups.
void requirePackedBits(const char* op, const Tensor& weight, int64_t bits, int64_t groupSize) {
  if (!weight.packed() || weight.dtype() == DType::int8)
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected a weight from packWeightBits but got another tensor");
  requireBits(op, weight.dtype(), weight.dim(1), bits, groupSize);
  const size_t bytes = bitsBytes(op, weight.device(), weight.shape(), weight.dtype(), bits, groupSize);
  if (static_cast<size_t>(weight.storage()->bytes()) != bytes)
    fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected a weight packed with ", bits, " bits in groups of ", groupSize, ", of ", bytes,
         " bytes, but got ", weight.storage()->bytes());
}

// One number a group as [N, groups].
Tensor groupScales(const char* op, const Tensor& scale, int64_t n, int64_t groups) {
  requireReal(op, "scale", scale);
  if (scale.numel() != 1 && scale.numel() != n * groups)
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected one scale or ", n * groups, " but got shape ", scale.shape().str());
  if (scale.numel() == n * groups) return contiguous(reshape(scale, {n, groups}));
  return contiguous(broadcastTo(reshape(scale, {1, 1}), {n, groups}));
}

Shape bitsFileShape(const Shape& shape, int64_t bits, int64_t groupSize) {
  if (bits == 8) return shape;
  const int64_t together = 8 / bits, rows = shape[0] * (shape[1] / groupSize);
  return {(rows + together - 1) / together, groupSize};
}

}  // namespace

Tensor linearBits(const Tensor& src, const Tensor& weight, const Tensor& scale, const std::optional<Tensor>& shift,
                  const std::optional<Tensor>& bias, int64_t bits, int64_t groupSize, int64_t precision) {
  requireReal("linearBits", "input", src);
  requirePackedBits("linearBits", weight, bits, groupSize);
  const LinearShape shape = linearShape("linearBits", src, weight, bias, src.dtype());
  const int64_t groups = shape.k / groupSize;
  const Tensor shifts = shift ? groupScales("linearBits", *shift, shape.n, groups) : Tensor();
  launch<&Backend::linearBits>("linearBits", linearCost(shape, weight.storage()->bytes()), in(shape.src), in(weight),
                               in(groupScales("linearBits", scale, shape.n, groups)), in(shifts), in(optionalOperand(bias, src.dtype())),
                               out(reshape(shape.dst, {shape.m, shape.n})), static_cast<int32_t>(bits), groupSize,
                               requirePrecision("linearBits", precision));
  return shape.dst;
}

Tensor linearBitsInt8(const Tensor& src, const std::optional<Tensor>& srcScale, const Tensor& weight, const Tensor& scale,
                      const Tensor& shift, const std::optional<Tensor>& bias, int64_t bits, int64_t groupSize) {
  const char* op = "linearBitsInt8";
  requireCodeSource(op, src, srcScale);
  requireDType(op, "weight", weight, DType::uint8);
  requirePackedBits(op, weight, bits, groupSize);
  const LinearShape shape = linearShape(op, src, weight, bias, scale.dtype());
  const int64_t groups = shape.k / groupSize;
  launch<&Backend::linearBitsInt8>(op, linearCost(shape, weight.storage()->bytes()) / 4, in(shape.src),
                                   in(codeScale(op, src, srcScale, shape.m)), in(weight), in(groupScales(op, scale, shape.n, groups)),
                                   in(groupScales(op, shift, shape.n, groups)), in(optionalOperand(bias, scale.dtype())),
                                   out(reshape(shape.dst, {shape.m, shape.n})), static_cast<int32_t>(bits), groupSize);
  return shape.dst;
}

Tensor packWeightBits(const Tensor& src, int64_t rows, int64_t columns, int64_t bits, int64_t groupSize) {
  requireStrided("packWeightBits", src);
  const Shape shape{rows, columns};
  checkSize("packWeightBits", shape);
  requireBits("packWeightBits", src.dtype(), columns, bits, groupSize);
  requireShape("packWeightBits", "codes", src, bitsFileShape(shape, bits, groupSize));
  if (!src.device().backend.packedBitsBytes) return src;
  const auto bytes = static_cast<int64_t>(bitsBytes("packWeightBits", src.device(), shape, src.dtype(), bits, groupSize));
  const Tensor dst = empty({bytes}, DType::uint8, src.device()).asPacked(shape, src.dtype());
  launch<&Backend::packWeightBits>("packWeightBits", mathCost(rows * columns), in(contiguous(src)), out(dst), static_cast<int32_t>(bits),
                                   groupSize);
  return dst;
}

Tensor unpackWeightBits(const Tensor& src, int64_t bits, int64_t groupSize) {
  requirePackedBits("unpackWeightBits", src, bits, groupSize);
  const Tensor dst = empty(bitsFileShape(src.shape(), bits, groupSize), src.dtype(), src.device());
  launch<&Backend::unpackWeightBits>("unpackWeightBits", mathCost(src.numel()), in(src), out(dst), static_cast<int32_t>(bits), groupSize);
  return dst;
}

}  // namespace quanto::ops
