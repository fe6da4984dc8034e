// One call of the attention slot, as its kernels read it: attention.cu chooses between them.
#pragma once

#include "gemm.h"
#include "mma.h"
#include "operands.h"

namespace quanto::cuda {

inline constexpr int kEight = 8;

// Called, not copied: what cannot be read 16 bytes at a time is rare.
QUANTO_DEVICE_CALL float loadFloat(const void* data, DType dtype, int64_t i) { return load<float>(data, dtype, i); }
QUANTO_DEVICE_CALL int gatherCodes(const int8_t* codes, int64_t stride, int64_t left) { return fourCodes(codes, stride, left); }
QUANTO_DEVICE_CALL void storeFloat(void* data, DType dtype, int64_t i, float value) { store(data, dtype, i, value); }

// An operand [B, H, rows, columns].
struct Heads {
  Operand values;
  int64_t strides[4];
  bool wide;  // whether rows may be read 16 bytes at a time
  explicit Heads(const View& view)
      : values(view), strides{view.strides[0], view.strides[1], view.strides[2], view.strides[3]}, wide(isAligned16(view.data)) {
    const DType dtype = values.dtype;
    wide = wide && view.strides[3] == 1 &&
           (dtype == DType::float32 || dtype == DType::float16 || dtype == DType::bfloat16 || dtype == DType::int8);
    for (int dim = 0; dim < 3; ++dim) wide = wide && (view.shape[dim] <= 1 || view.strides[dim] * sizeOf(dtype) % 16 == 0);
  }
  QUANTO_DEVICE int64_t at(int64_t batch, int64_t head, int64_t row) const {
    return batch * strides[0] + head * strides[1] + row * strides[2];
  }
};

// Eight columns from `column` on of the row at `row`, zeros from `columns` on; the column is a multiple of eight.
QUANTO_DEVICE inline void loadEight(const Heads& from, int64_t row, int64_t column, int64_t columns, float (&out)[kEight]) {
  const DType dtype = from.values.dtype;
  if (!from.wide || column + kEight > columns) {
    QUANTO_UNROLL
    for (int i = 0; i < kEight; ++i)
      out[i] = column + i < columns ? loadFloat(from.values.data, dtype, row + (column + i) * from.strides[3]) : 0.0f;
    return;
  }
  if (dtype == DType::float32) {
    const auto* four = reinterpret_cast<const float4*>(static_cast<const float*>(from.values.data) + row + column);
    QUANTO_UNROLL
    for (int i = 0; i < 2; ++i) {
      const float4 loaded = four[i];
      out[4 * i] = loaded.x;
      out[4 * i + 1] = loaded.y;
      out[4 * i + 2] = loaded.z;
      out[4 * i + 3] = loaded.w;
    }
    return;
  }
  if (dtype == DType::int8) {
    const int64_t loaded = *reinterpret_cast<const int64_t*>(static_cast<const int8_t*>(from.values.data) + row + column);
    QUANTO_UNROLL
    for (int i = 0; i < kEight; ++i) out[i] = static_cast<float>(static_cast<int8_t>(loaded >> 8 * i));
    return;
  }
  const int4 loaded = *reinterpret_cast<const int4*>(static_cast<const uint16_t*>(from.values.data) + row + column);
  widenTwo(static_cast<unsigned>(loaded.x), dtype, out);
  widenTwo(static_cast<unsigned>(loaded.y), dtype, out + 2);
  widenTwo(static_cast<unsigned>(loaded.z), dtype, out + 4);
  widenTwo(static_cast<unsigned>(loaded.w), dtype, out + 6);
}

// The same for 32 codes, four in an int as dp4a takes them.
QUANTO_DEVICE inline void loadEight(const Heads& from, int64_t row, int64_t column, int64_t columns, int (&out)[kEight]) {
  const int8_t* codes = static_cast<const int8_t*>(from.values.data) + row + column * from.strides[3];
  if (!from.wide || column + 4 * kEight > columns) {
    QUANTO_UNROLL
    for (int i = 0; i < kEight; ++i) out[i] = gatherCodes(codes + 4 * i * from.strides[3], from.strides[3], columns - column - 4 * i);
    return;
  }
  QUANTO_UNROLL
  for (int i = 0; i < 2; ++i) {
    const int4 loaded = reinterpret_cast<const int4*>(codes)[i];
    out[4 * i] = loaded.x;
    out[4 * i + 1] = loaded.y;
    out[4 * i + 2] = loaded.z;
    out[4 * i + 3] = loaded.w;
  }
}

// Products are of cells: one float, or four codes.
template <class Cell>
inline constexpr int kPerCell = isFloat<Cell> ? 1 : 4;
QUANTO_DEVICE inline float multiplyCell(float a, float b, float sum) { return multiplyAdd(a, b, sum); }
QUANTO_DEVICE inline int multiplyCell(int a, int b, int sum) { return __dp4a(a, b, sum); }

QUANTO_DEVICE inline int64_t clamped(int64_t value, int64_t high) { return value < 0 ? 0 : value > high ? high : value; }
// No NaN is a maximum; but its weight is NaN, and so are the sum and the result.
QUANTO_DEVICE inline float larger(float a, float b) { return a > b ? a : b; }
// What maxima are subtracted as: that of nothing but hidden keys is -infinity, which must not be subtracted from itself.
QUANTO_DEVICE inline float shiftOf(float largest) { return largest == -infinity() ? 0.0f : largest; }

// Queries of the heads that share one head of keys and values are rows: row r is query r % length of head r / length of the group.
struct Attention {
  Heads query, key, value, out;
  Operand mask;
  int64_t maskStrides[4];
  bool hides;  // the mask is bool
  const float *scoreScale, *valueScale;
  float scale;
  bool causal;
  int64_t diagonal;
  int64_t batch, shared, group, length, keys, width, valueWidth;

  Attention(const View& query, const View& key, const View& value, const View* mask, const View* scoreScale, const View* valueScale,
            const View& out, double scale, int32_t causal, int64_t diagonal)
      : query(query),
        key(key),
        value(value),
        out(out),
        mask(mask),
        maskStrides{},
        hides(mask && dtypeOf(*mask) == DType::boolean),
        scoreScale(scoreScale ? static_cast<const float*>(scoreScale->data) : nullptr),
        valueScale(valueScale ? static_cast<const float*>(valueScale->data) : nullptr),
        scale(static_cast<float>(scale)),
        causal(causal != 0),
        diagonal(diagonal),
        batch(query.shape[0]),
        shared(key.shape[1]),
        group(query.shape[1] / key.shape[1]),
        length(query.shape[2]),
        keys(key.shape[2]),
        width(query.shape[3]),
        valueWidth(value.shape[3]) {
    for (int dim = 0; mask && dim < 4; ++dim) maskStrides[dim] = mask->strides[dim];
  }

  QUANTO_HOST_DEVICE int64_t rows() const { return group * length; }
  // Keys that a row may see for its place in the sequence.
  QUANTO_DEVICE int64_t visible(int64_t row) const { return causal ? clamped(row % length + diagonal + 1, keys) : keys; }
  // The same of the row among [begin, end) that sees most.
  QUANTO_DEVICE int64_t mostVisible(int64_t begin, int64_t end) const {
    return begin / length == (end - 1) / length ? visible(end - 1) : visible(length - 1);
  }
  QUANTO_DEVICE int64_t head(int64_t sharedHead, int64_t row) const { return sharedHead * group + row / length; }
  QUANTO_DEVICE int64_t placeOfRow(const Heads& heads, int64_t item, int64_t sharedHead, int64_t row) const {
    return heads.at(item, head(sharedHead, row), row % length);
  }
  QUANTO_DEVICE int64_t maskPlace(int64_t item, int64_t sharedHead, int64_t row) const {
    return item * maskStrides[0] + head(sharedHead, row) * maskStrides[1] + row % length * maskStrides[2];
  }

  // The score of a key that the row may see for its place.
  template <class Cell>
  QUANTO_DEVICE float score(Cell sum, int64_t maskAt, int64_t key) const {
    float score = static_cast<float>(sum);
    // Float queries were scaled before the product.
    if constexpr (!isFloat<Cell>) score = score * *scoreScale * scale;
    if (!mask.given()) return score;
    const float value = loadFloat(mask.data, mask.dtype, maskAt + key * maskStrides[3]);
    return !hides ? score + value : value == 0 ? -infinity() : score;
  }
  // What sums of weighted values are multiplied by. A row without any weight gives 0 where it was kept from its keys, else NaN, as softmax
  // has it where floats of -infinity were added.
  QUANTO_DEVICE float normalizer(float weight, int64_t row) const {
    if (weight != 0) return (valueScale ? *valueScale : 1.0f) / weight;
    return hides || visible(row) < keys || keys == 0 ? 0.0f : floatOf(0x7fc00000u);
  }
};

// Computes calls of few queries, whose keys are read once; false: it is not one of them.
bool attendRows(Issue& issue, const Attention& call);
// Those of halves, on a device with tensor cores.
bool attendByTensorCores(Issue& issue, const Attention& call);

}  // namespace quanto::cuda
