#include "attention.h"

#include <algorithm>

#include "binary.h"
#include "shape.h"

namespace quanto::ops {

namespace {

constexpr const char* kOp = "attention";
// Sums of that many products of int8 codes are exact in float32, in which kernels may compute them.
constexpr int64_t kExactWidth = 1024;

Shape leadOf(const Tensor& tensor) { return Shape(tensor.shape().begin(), std::max(0, tensor.ndim() - 2)); }
int64_t fromEnd(const Tensor& tensor, int axis) { return tensor.dim(tensor.ndim() - axis); }

Shape append(Shape shape, int64_t rows, int64_t columns) {
  shape.push(rows);
  shape.push(columns);
  return shape;
}

void requireMatrices(const char* name, const Tensor& tensor) {
  requireStrided(kOp, tensor);
  if (tensor.ndim() < 2)
    fail(ErrorCode::SHAPE_MISMATCH, "[", kOp, "] expected ", name, " of at least 2 dimensions but got shape ", tensor.shape().str());
}

// The scales of codes, where there are any.
struct Scales {
  const std::optional<Tensor>&query, &key, &value;
};

void requireDTypes(const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask, const Scales& scales) {
  if (scales.query.has_value() != scales.key.has_value() || (scales.value && !scales.key))
    fail(ErrorCode::INVALID_ARGUMENT, "[", kOp, "] expected scales of codes for query and key together, and beside a value's");
  if (scales.value) {
    requireDType(kOp, "value codes", value, DType::int8);
    requireOne(kOp, "value scale", *scales.value);
  } else {
    requireReal(kOp, "value", value);
  }
  if (scales.query) {
    requireDType(kOp, "query codes", query, DType::int8);
    requireDType(kOp, "key codes", key, DType::int8);
    requireOne(kOp, "query scale", *scales.query);
    requireOne(kOp, "key scale", *scales.key);
    if (fromEnd(query, 1) > kExactWidth)
      fail(ErrorCode::NOT_SUPPORTED, "[", kOp, "] expected at most ", kExactWidth, " codes in a row but got ", fromEnd(query, 1),
           "; dequantize query and key");
  } else {
    requireDType(kOp, "query", query, value.dtype());
    requireDType(kOp, "key", key, value.dtype());
  }
  if (!mask) return;
  requireStrided(kOp, *mask);
  if (mask->dtype() != DType::boolean) requireReal(kOp, "mask", *mask);
}

Tensor asFloat32(const std::optional<Tensor>& scale) { return reshape(cast(*scale, DType::float32), {1}); }

// What the sums of codes are multiplied by: as scaling the query first and multiplying after it has it.
Tensor scoreScale(const Scales& scales, double scale) {
  const Tensor scaled = binaryScalar(static_cast<int64_t>(BinaryOp::mul), *scales.query, scale, false);
  return binaryOf(BinaryOp::mul, asFloat32(scaled), asFloat32(scales.key));
}

// Leading dims [..., H] gathered to [B, H], with two more.
Shape headShape(const Shape& lead, int64_t rows, int64_t columns) {
  const int last = lead.size() - 1;
  return last < 0 ? Shape{1, 1, rows, columns} : Shape{Shape(lead.begin(), last).numel(), lead[last], rows, columns};
}

// [..., H, R, C] with its leading dims broadcast and gathered: [B, H, R, C].
Tensor asHeads(const Tensor& src, const Shape& lead) {
  const int64_t rows = fromEnd(src, 2), columns = fromEnd(src, 1);
  return reshape(broadcastTo(src, append(lead, rows, columns)), headShape(lead, rows, columns));
}

}  // namespace

Tensor attention(const Tensor& query, const Tensor& key, const Tensor& value, const std::optional<Tensor>& mask,
                 const std::optional<Tensor>& queryScale, const std::optional<Tensor>& keyScale, const std::optional<Tensor>& valueScale,
                 double scale, bool causal, int64_t diagonal, int64_t group) {
  const Scales scales{queryScale, keyScale, valueScale};
  requireMatrices("query", query);
  requireMatrices("key", key);
  requireMatrices("value", value);
  requireDTypes(query, key, value, mask, scales);
  const int64_t length = fromEnd(query, 2), width = fromEnd(query, 1), keys = fromEnd(key, 2), valueWidth = fromEnd(value, 1);
  if (fromEnd(key, 1) != width || fromEnd(value, 2) != keys)
    fail(ErrorCode::SHAPE_MISMATCH, "[", kOp, "] expected a query [.., L, E], a key [.., S, E] and a value [.., S, V] but got ",
         query.shape().str(), ", ", key.shape().str(), " and ", value.shape().str());
  const Shape queryLead = leadOf(query);
  const int last = queryLead.size() - 1;
  if (group < 1 || (group > 1 && (last < 0 || queryLead[last] % group != 0)))
    fail(ErrorCode::INVALID_ARGUMENT, "[", kOp, "] expected groups that divide the heads of a query ", query.shape().str(), " but got ",
         group);

  // Where heads share a key, the leading dims broadcast by groups; a mask has every head.
  const auto grouped = [&](const Shape& lead) {
    return group == 1 ? lead : withSize(lead, lead.size() - 1, lead[lead.size() - 1] / group);
  };
  const auto ungrouped = [&](const Shape& lead) {
    return group == 1 ? lead : withSize(lead, lead.size() - 1, lead[lead.size() - 1] * group);
  };
  Shape lead = ungrouped(broadcastShapes(kOp, broadcastShapes(kOp, grouped(queryLead), leadOf(key)), leadOf(value)));
  if (mask) {
    const Shape scores = append(lead, length, keys), full = broadcastShapes(kOp, scores, mask->shape());
    if (full[full.size() - 2] != length || full[full.size() - 1] != keys)
      fail(ErrorCode::SHAPE_MISMATCH, "[", kOp, "] expected a mask that broadcasts to ", scores.str(), " but got ", mask->shape().str());
    lead = Shape(full.begin(), full.size() - 2);
  }
  const Shape shared = grouped(lead);

  // Memory in the order [..., L, H, V].
  Shape laidOut = lead, axes;
  const int heads = lead.size() - 1;
  for (int i = 0; i < heads; ++i) axes.push(i);
  if (heads >= 0) {
    laidOut[heads] = length;
    laidOut = append(laidOut, lead[heads], valueWidth);
    axes.push(heads + 1);
    axes.push(heads);
    axes.push(heads + 2);
  } else {
    laidOut = {length, valueWidth};
    axes = {0, 1};
  }
  const Tensor dst = permute(empty(laidOut, valueScale ? *valueScale : value), axes);

  const double scores = static_cast<double>(lead.numel()) * static_cast<double>(length) * static_cast<double>(keys);
  const double cost = flopsCost(2 * scores * static_cast<double>(width + valueWidth + 16)) + bytesCost(key.bytes() + value.bytes());
  const Shape target = append(lead, length, keys);
  launch<&Backend::attention>(kOp, cost, in(asHeads(query, lead)), in(asHeads(key, shared)), in(asHeads(value, shared)),
                              in(mask ? asHeads(broadcastTo(*mask, target), lead) : Tensor()),
                              in(queryScale ? scoreScale(scales, scale) : Tensor()), in(valueScale ? asFloat32(valueScale) : Tensor()),
                              out(view(dst, headShape(lead, length, valueWidth))), queryScale ? 1.0 : scale, static_cast<int32_t>(causal),
                              std::clamp(diagonal, -kMaxElements, kMaxElements));
  return dst;
}

bool hasAttention(Device& device) { return device.backend.attention != nullptr; }

}  // namespace quanto::ops
