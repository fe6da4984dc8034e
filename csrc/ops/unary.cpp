#include "unary.h"

#include <iterator>

namespace quanto::ops {

namespace {

enum class Result { real, same, boolean };
struct Row {
  const char* name;
  Result result;
};
constexpr Row kRows[] = {
#define UNARY(name, result, ...) {#name, Result::result},
#include "../unary.def"
#undef UNARY
};

DType resultDType(Result result, DType src) {
  if (result == Result::boolean) return DType::boolean;
  if (result == Result::real) return realDType(src);
  return src == DType::boolean ? DType::int64 : src;
}

}  // namespace

Tensor unary(int64_t op, const Tensor& src, double a, double b) {
  if (op < 0 || op >= std::ssize(kRows)) fail(ErrorCode::INVALID_ARGUMENT, "[unary] there is no function number ", op);
  const Row& row = kRows[op];
  requireStrided(row.name, src);
  const Tensor dst = empty(src.shape(), resultDType(row.result, src.dtype()), src.device());
  launch<&Backend::unary>(row.name, mathCost(dst.numel()), static_cast<int32_t>(op), in(src), out(dst), a, b);
  return dst;
}

}  // namespace quanto::ops
