#pragma once

#include "common.h"

namespace quanto::ops {

// softmax(query key^T * scale + mask) value in one pass, the matrix of scores never in memory: query [..., H, L, E], key [..., G, S, E] and
// value [..., G, S, V] with H = group * G, leading dims broadcast: [..., H, L, V], laid out as [..., L, H, V] so that the heads of a query
// stand together. mask broadcasts to [..., H, L, S]: bool, true where a query may see a key, or real and added. causal: query i sees the
// keys up to i + diagonal. All three are real; or query and key are int8 codes with a scale each, and with those value may be, too: the
// result has its dtype then, or that of its scale.
Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask,
                 const std::optional<Tensor>& queryScale, const std::optional<Tensor>& keyScale, const std::optional<Tensor>& valueScale,
                 double scale, bool causal, int64_t diagonal, int64_t group);
// Whether a device has such a kernel.
bool hasAttention(Device& device);

}  // namespace quanto::ops
