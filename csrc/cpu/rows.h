// Dense tensors as rows of float32, for kernels that work along the last dim.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "elements.h"
#include "loops.h"

namespace quanto::cpu {

struct Rows {
  int64_t count, n;
};

inline Rows rowsOf(const View& view) {
  // Rows of no elements count too: they have a mean (NaN).
  Rows rows{1, 1};
  for (int i = 0; i < view.ndim - 1; ++i) rows.count *= view.shape[i];
  if (view.ndim > 0) rows.n = view.shape[view.ndim - 1];
  return rows;
}

// Scratch rows of a thread, 64-byte aligned.
struct RowBuffers {
  float* data;
  int64_t stride;
  float* operator[](int index) const { return data + index * stride; }
};

// writesPast for rows that end where a cache line does: two rows that share one would write it in parts.
template <class... Operands>
bool rowsPast(const Rows& rows, const View& out, const Operands&... operands) {
  return rows.n * sizeOf(dtypeOf(out)) % 64 == 0 && writesPast(out, operands...);
}

// Calls body(row, buffers) for each row, with `buffers` scratch rows. `grain` counts elements; `past` where the body writes past the
// caches.
template <class Body>
Status forEachRow(const Rows& rows, int buffers, int64_t grain, Body&& body, bool past = false) {
  std::atomic<bool> failed{false};
  const int64_t stride = (rows.n + 15) / 16 * 16;
  parallelFor(rows.count, std::max<int64_t>(1, grain / std::max<int64_t>(1, rows.n)), [&](int64_t begin, int64_t end) {
    const RowBuffers scratchRows{static_cast<float*>(scratch(buffers * stride * static_cast<int64_t>(sizeof(float)))), stride};
    if (!scratchRows.data) {
      failed = true;
      return;
    }
    for (int64_t row = begin; row < end; ++row) body(row, scratchRows);
    if (past) finishBypass();
  });
  return failed ? Status::outOfMemory : Status::ok;
}

}  // namespace quanto::cpu
