#pragma once

#include "common.h"

namespace quanto::ops {

// softmax(query key^T * scale + mask) value in one pass, the matrix of scores never in memory: query [..., H, L, E], key [..., G, S, E] and
// value [..., G, S, V] with H = group * G, leading dims broadcast: [..., H, L, V], laid out as [..., L, H, V] so that the heads of a query
// stand together. mask broadcasts to [..., H, L, S]: bool, true where a query may see a key, or real and added. causal: query i sees the
// keys up to i + diagonal. query and key are real; or both int8 with scoreScale, one float32 by which the sums are multiplied.
Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask,
                 const std::optional<Tensor>& scoreScale, const std::optional<Tensor>& valueScale, double scale, bool causal,
                 int64_t diagonal, int64_t group);
// Whether a device has such a kernel.
bool hasAttention(Device& device);

}  // namespace quanto::ops
