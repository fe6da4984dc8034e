#include "binary.h"

#include <cmath>
#include <iterator>

#include "shape.h"

namespace quanto::ops {

namespace {

enum class Result { real, same, boolean };
struct Row {
  const char* name;
  Result result;
};
constexpr Row kRows[] = {
#define BINARY(name, result, ...) {#name, Result::result},
#include "../binary.def"
#undef BINARY
};

const Row& rowOf(int64_t op) {
  if (op < 0 || op >= std::ssize(kRows)) fail(ErrorCode::INVALID_ARGUMENT, "[binary] there is no function number ", op);
  return kRows[op];
}

// The dtype that the operands are computed in: what they were promoted to, or a real one where the row asks for it.
DType operandDType(Result result, DType promoted) {
  if (result == Result::real) return realDType(promoted);
  return promoted == DType::boolean && result == Result::same ? DType::int64 : promoted;
}

DType resultDType(Result result, DType operand) { return result == Result::boolean ? DType::boolean : operand; }

}  // namespace

Tensor binary(int64_t op, const Tensor& a, const Tensor& b) {
  const Row& row = rowOf(op);
  requireStrided(row.name, a);
  requireStrided(row.name, b);
  // A 0-d operand takes part in promotion only by its kind, as in PyTorch: int8 tensor + 0-d int64 stays int8.
  DType promoted = promote(a.dtype(), b.dtype());
  if (a.ndim() > 0 && b.ndim() == 0 && info(a.dtype()).kind <= info(b.dtype()).kind) promoted = a.dtype();
  if (b.ndim() > 0 && a.ndim() == 0 && info(b.dtype()).kind <= info(a.dtype()).kind) promoted = b.dtype();
  const DType operand = operandDType(row.result, promoted);
  const Shape shape = broadcastShapes(row.name, a.shape(), b.shape());
  const Tensor dst = empty(shape, resultDType(row.result, operand), a.device());
  launch<&Backend::binary>(row.name, bytesCost(3 * dst.bytes()), static_cast<int32_t>(op), in(broadcastTo(cast(a, operand), shape)),
                           in(broadcastTo(cast(b, operand), shape)), out(dst));
  return dst;
}

Tensor binaryScalar(int64_t op, const Tensor& src, double scalar, bool reversed) {
  const Row& row = rowOf(op);
  requireStrided(row.name, src);
  const bool fraction = scalar != std::trunc(scalar) || std::isinf(scalar);
  DType promoted = src.dtype();
  if (!isReal(promoted) && fraction) promoted = DType::float32;
  else if (promoted == DType::boolean) promoted = DType::int64;
  const DType operand = operandDType(row.result, promoted);
  const Tensor dst = empty(src.shape(), resultDType(row.result, operand), src.device());
  launch<&Backend::binaryScalar>(row.name, bytesCost(2 * dst.bytes()), static_cast<int32_t>(op), in(cast(src, operand)), scalar,
                                 static_cast<int32_t>(reversed), out(dst));
  return dst;
}

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  requireDType("where", "condition", condition, DType::boolean);
  const DType dtype = promote(a.dtype(), b.dtype());
  const Shape shape = broadcastShapes("where", broadcastShapes("where", a.shape(), b.shape()), condition.shape());
  const Tensor dst = empty(shape, dtype, a.device());
  launch<&Backend::where>("where", bytesCost(3 * dst.bytes()), in(broadcastTo(condition, shape)), in(broadcastTo(cast(a, dtype), shape)),
                          in(broadcastTo(cast(b, dtype), shape)), out(dst));
  return dst;
}

void addInPlace(const Tensor& dst, const Tensor& src) {
  requireWritable("add_", dst);
  if (broadcastShapes("add_", src.shape(), dst.shape()) != dst.shape())
    fail(ErrorCode::SHAPE_MISMATCH, "[add_] expected a shape that broadcasts to ", dst.shape().str(), " but got ", src.shape().str());
  const Tensor operand = broadcastTo(cast(src, dst.dtype()), dst.shape());
  // Elementwise kernels read each element before they write it, so the destination may be an operand as it is. Another view of the same
  // memory may not.
  const bool same = operand.offset() == dst.offset() && operand.strides() == dst.strides();
  const bool overlaps = operand.storage() == dst.storage() && !same;
  launch<&Backend::binary>("add_", bytesCost(3 * dst.bytes()), static_cast<int32_t>(BinaryOp::add), in(dst),
                           in(overlaps ? clone(operand) : operand), inOut(dst));
}

}  // namespace quanto::ops
