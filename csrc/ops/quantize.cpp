#include "quantize.h"

#include <cmath>

#include "binary.h"
#include "reduce.h"
#include "shape.h"

namespace quanto::ops {

namespace {

bool isCode(DType dtype) { return sizeOf(dtype) == 1 && dtype != DType::boolean; }

// The scale as a view of `shape`.
Tensor spread(const char* op, const Tensor& scale, const Shape& shape) {
  requireStrided(op, scale);
  if (!(broadcastShapes(op, scale.shape(), shape) == shape))
    fail(ErrorCode::SHAPE_MISMATCH, "[", op, "] expected a scale that broadcasts to ", shape.str(), " but got ", scale.shape().str());
  return broadcastTo(scale, shape);
}

void requireBits(const char* op, int64_t bits) {
  if (bits != 2 && bits != 4) fail(ErrorCode::INVALID_ARGUMENT, "[", op, "] expected 2 or 4 bits but got ", bits);
}

// A shift adds to values of the scale's dtype, or counts codes.
void requireShift(const char* op, const Tensor& shift, DType dtype) {
  if (shift.dtype() != dtype && shift.dtype() != DType::uint8 && shift.dtype() != DType::int8)
    fail(ErrorCode::DTYPE_MISMATCH, "[", op, "] expected a shift of ", info(dtype).name, ", uint8 or int8 but got ",
         info(shift.dtype()).name);
}

}  // namespace

Tensor quantize(const Tensor& src, const Tensor& scale, DType dtype) {
  requireReal("quantize", "input", src);
  requireStrided("quantize", src);
  requireDType("quantize", "scale", scale, src.dtype());
  if (!isCode(dtype)) fail(ErrorCode::DTYPE_MISMATCH, "[quantize] expected int8, uint8 or a float8 dtype but got ", info(dtype).name);
  const Tensor dst = empty(src.shape(), dtype, src.device());
  launch<&Backend::quantize>("quantize", mathCost(src.numel()), in(src), in(spread("quantize", scale, src.shape())), out(dst));
  return dst;
}

Tensor dequantize(const Tensor& codes, const Tensor& scale) {
  requireStrided("dequantize", codes);
  requireReal("dequantize", "scale", scale);
  if (!isCode(codes.dtype()))
    fail(ErrorCode::DTYPE_MISMATCH, "[dequantize] expected codes of dtype int8, uint8 or float8 but got ", info(codes.dtype()).name);
  const Tensor dst = empty(codes.shape(), scale.dtype(), codes.device());
  launch<&Backend::dequantize>("dequantize", mathCost(codes.numel()), in(codes), in(spread("dequantize", scale, codes.shape())), out(dst));
  return dst;
}

Tensor quantizeAffine(const Tensor& src, const Tensor& scale, const Tensor& shift, int64_t bits) {
  requireReal("quantizeAffine", "input", src);
  requireStrided("quantizeAffine", src);
  requireDType("quantizeAffine", "scale", scale, src.dtype());
  requireShift("quantizeAffine", shift, src.dtype());
  requireBits("quantizeAffine", bits);
  const Tensor dst = empty(src.shape(), DType::uint8, src.device());
  launch<&Backend::quantizeAffine>("quantizeAffine", mathCost(src.numel()), in(src), in(spread("quantizeAffine", scale, src.shape())),
                                   in(spread("quantizeAffine", shift, src.shape())), out(dst), static_cast<int32_t>(bits));
  return dst;
}

Tensor dequantizeAffine(const Tensor& codes, const Tensor& scale, const Tensor& shift) {
  requireStrided("dequantizeAffine", codes);
  requireDType("dequantizeAffine", "codes", codes, DType::uint8);
  requireReal("dequantizeAffine", "scale", scale);
  requireShift("dequantizeAffine", shift, scale.dtype());
  const Tensor dst = empty(codes.shape(), scale.dtype(), codes.device());
  launch<&Backend::dequantizeAffine>("dequantizeAffine", mathCost(codes.numel()), in(codes),
                                     in(spread("dequantizeAffine", scale, codes.shape())),
                                     in(spread("dequantizeAffine", shift, codes.shape())), out(dst));
  return dst;
}

Tensor packBits(const Tensor& codes, int64_t bits) {
  requireStrided("packBits", codes);
  requireDType("packBits", "codes", codes, DType::uint8);
  requireBits("packBits", bits);
  if (codes.ndim() == 0) fail(ErrorCode::SHAPE_MISMATCH, "[packBits] expected at least 1 dimension but got []");
  const int64_t together = 8 / bits;
  const Tensor dst = empty(withSize(codes.shape(), 0, (codes.dim(0) + together - 1) / together), DType::uint8, codes.device());
  launch<&Backend::packBits>("packBits", bytesCost(codes.bytes() + dst.bytes()), in(contiguous(codes)), out(dst),
                             static_cast<int32_t>(bits));
  return dst;
}

Tensor unpackBits(const Tensor& packed, int64_t rows, int64_t bits) {
  requireStrided("unpackBits", packed);
  requireDType("unpackBits", "packed codes", packed, DType::uint8);
  requireBits("unpackBits", bits);
  const int64_t together = 8 / bits;
  if (packed.ndim() == 0 || rows < 0 || rows > kMaxElements || (rows + together - 1) / together != packed.dim(0))
    fail(ErrorCode::SHAPE_MISMATCH, "[unpackBits] expected [ceil(", rows, " / ", together, "), ..] for ", rows, " rows of ", bits,
         " bits but got ", packed.shape().str());
  const Shape shape = withSize(packed.shape(), 0, rows);
  checkSize("unpackBits", shape);
  const Tensor dst = empty(shape, DType::uint8, packed.device());
  launch<&Backend::unpackBits>("unpackBits", bytesCost(packed.bytes() + dst.bytes()), in(contiguous(packed)), out(dst),
                               static_cast<int32_t>(bits));
  return dst;
}

Tensor absmaxScale(const Tensor& src, const Shape& axes, double qmax) {
  requireReal("absmaxScale", "input", src);
  if (!(qmax > 0) || std::isinf(qmax)) fail(ErrorCode::INVALID_ARGUMENT, "[absmaxScale] expected a finite qmax above 0 but got ", qmax);
  unsigned kept = 0;
  for (int64_t axis : axes) kept |= 1u << wrapAxis("absmaxScale", axis, src.ndim());
  Shape folded;
  for (int i = 0; i < src.ndim(); ++i)
    if (!(kept >> i & 1)) folded.push(i);
  const auto absmax = [](const Tensor& values, const Shape& over, bool keepdim) {
    return reduce(static_cast<int64_t>(ReduceOp::absmax), values, over, keepdim, 0);
  };
  // To reduce, no axes mean all of them, so a scale for each element is its own case.
  const Tensor largest =
      folded.size() == 0 ? reshape(absmax(reshape(src, {src.numel(), 1}), {1}, false), src.shape()) : absmax(src, folded, axes.size() > 0);
  return binaryScalar(static_cast<int64_t>(BinaryOp::div), largest, qmax, false);
}

}  // namespace quanto::ops
