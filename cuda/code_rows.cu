#include "backend.h"
#include "code_rows.h"
#include "elements.h"

namespace quanto::cuda {

View denseMatrix(void* data, DType dtype, int64_t rows, int64_t columns) {
  View view{};
  view.data = data;
  view.dtype = static_cast<int32_t>(dtype);
  view.ndim = 2;
  view.shape[0] = rows;
  view.shape[1] = columns;
  view.strides[0] = columns;
  view.strides[1] = 1;
  return view;
}

View spreadScale(const View& scale, const View& matrix) {
  View spread = matrix;
  spread.data = scale.data;
  spread.dtype = scale.dtype;
  spread.strides[0] = scale.shape[0] > 1 ? scale.strides[0] : 0;
  spread.strides[1] = 0;
  return spread;
}

Status codeRows(Queue* queue, Issue& issue, const View& src, const View* srcScale, CodeRows& rows) {
  rows.codes = src;
  if (srcScale) rows.scale = *srcScale;
  if (dtypeOf(src) == DType::int8) return issue.finish();
  const int64_t m = src.shape[0], k = src.shape[1];
  rows.codes = denseMatrix(issue.scratch<int8_t>(Scratch::codes, m * k), DType::int8, m, k);
  Status status = Status::ok;
  if (!srcScale) {
    rows.scale = denseMatrix(issue.scratch<float>(Scratch::scales, m), dtypeOf(src), m, 1);
    rows.scale.ndim = 1;
  }
  if (issue.failed()) return issue.finish();
  if (!srcScale) {
    status = reduce(queue, static_cast<int32_t>(ReduceOp::absmax), &src, &rows.scale, 1, 0);
    if (status == Status::ok) status = binaryScalar(queue, static_cast<int32_t>(BinaryOp::div), &rows.scale, 127, 0, &rows.scale);
  }
  const View spread = spreadScale(rows.scale, rows.codes);
  return status == Status::ok ? quantize(queue, &src, &spread, &rows.codes) : status;
}

}  // namespace quanto::cuda
