// The left operand of an integer product.
#pragma once

#include "queue.h"

namespace quanto::cuda {

// A dense matrix in scratch memory.
View denseMatrix(void* data, DType dtype, int64_t rows, int64_t columns);
// One scale for all, or one for each row, as a view of the matrix.
View spreadScale(const View& scale, const View& matrix);

struct CodeRows {
  View codes, scale;
};

// `src` as int8 codes with their scale, in scratch memory where it is real: quantized with srcScale, or, where that is null, each row with
// absmax / 127 rounded to its dtype.
Status codeRows(Queue* queue, Issue& issue, const View& src, const View* srcScale, CodeRows& rows);

}  // namespace quanto::cuda
