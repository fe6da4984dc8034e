// Matrix products by cuBLASLt, where it is installed and takes the layout.
#pragma once

#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

// What was found of cuBLASLt, in words.
const char* describeBlasLt();

// out[batch, m, n] = a[batch, m, k] x b[batch, k, n] for int8 -> int32 and for real dtypes (float32 sums, no TF32). False where the library
// is missing or refuses: then the kernels of gemm.h serve. The views have 3 dims.
bool multiplyByBlasLt(Issue& issue, Queue* queue, const View& a, const View& b, const View& out);

}  // namespace quanto::cuda
