#include <atomic>

#include "elements.h"
#include "gemm/gemm.h"
#include "gemm/int8_skinny.h"
#include "kernels.h"
#include "loops.h"

namespace quanto::cpu {
namespace {

// Multiply-adds of one matrix product that are worth sharing among threads; smaller ones share the batch instead.
constexpr int64_t kLargeProduct = 1 << 21;
// Multiply-adds of a product without packing that repay handing a piece to another thread.
constexpr int64_t kSkinnyGrain = 1 << 17;

const void* placeOf(const View& view, int64_t offset) { return static_cast<const char*>(view.data) + offset * sizeOf(dtypeOf(view)); }
void* outputOf(const View& view, int64_t offset) { return static_cast<char*>(view.data) + offset * sizeOf(dtypeOf(view)); }

// product(a, b, out, m) for each matrix of the batch, with the places of the three matrices in elements.
template <class Product>
Status forEachMatrix(const View& a, const View& b, const View& out, Product&& product) {
  const int64_t batch = out.shape[0], m = out.shape[1], n = out.shape[2], k = a.shape[2];
  // One right operand for all: the batch is only more rows.
  const bool rows = b.strides[0] == 0 && a.strides[0] == m * a.strides[1] && out.strides[0] == m * out.strides[1];
  if (rows || batch == 1) return product(0, 0, 0, batch * m);
  std::atomic<Status> status{Status::ok};
  const auto some = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Status result = product(i * a.strides[0], i * b.strides[0], i * out.strides[0], m);
      if (result != Status::ok) status = result;
    }
  };
  const int64_t work = std::max<int64_t>(1, m * n * k);
  if (work >= kLargeProduct) some(0, batch);
  else parallelFor(batch, std::max<int64_t>(1, kCheapGrain * 8 / work), some);
  return status;
}

FloatOutput floatOutput(const View& out, const View* bias, int64_t place, int64_t rowStride, int64_t columnStride) {
  FloatOutput target{outputOf(out, place), dtypeOf(out), rowStride, columnStride, nullptr, DType::float32, 0};
  if (bias) {
    target.bias = bias->data;
    target.biasDtype = dtypeOf(*bias);
    target.biasStride = bias->strides[0];
  }
  return target;
}

// One number for all has stride 0, whatever its shape; else there is one dim with a size of its own.
Scales scalesOf(const View& scale) {
  Scales scales{scale.data, dtypeOf(scale), 0};
  for (int dim = 0; dim < scale.ndim; ++dim) {
    if (scale.shape[dim] > 1) scales.stride = scale.strides[dim];
  }
  return scales;
}

Int8Source int8Source(const View& src, const View* scale) {
  return {src.data, dtypeOf(src), src.strides[0], src.strides[1], scale ? scalesOf(*scale) : Scales{}};
}

Int8Weight weightOf(const View& weight) {
  return {static_cast<const int8_t*>(weight.data), weight.strides[0], weight.strides[1], weight.layout == Layout::packed};
}

// A matrix [K, N] as the weight [N, K] that integer products take.
Int8Weight transposedInt8(const View& b, int64_t place) {
  return {static_cast<const int8_t*>(b.data) + place, b.strides[2], b.strides[1], false};
}

// Packing the right operand costs as much as multiplying it by this many rows without; and calls cost more than products of this many sums.
constexpr int64_t kFewRows = 2, kFewProducts = 512;

// a . b by int8Skinny where that is faster than packing, or false. store(place, count, sums) takes sums that lie side by side in `out`.
template <class Store>
bool multiplyUnpacked(const View& a, const View& b, const View& out, int64_t aPlace, int64_t bPlace, int64_t outPlace, int64_t m,
                      const Store& store) {
  constexpr int64_t kStrip = 1024;
  const int64_t n = out.shape[2], k = a.shape[2];
  if (m > kFewRows && m * n * k > kFewProducts) return false;
  const bool across = b.strides[2] == 1, dots = b.strides[1] == 1 && a.strides[2] == 1;
  if (!(across || dots) || (out.strides[2] != 1 && n > 1)) return false;
  const auto* left = static_cast<const int8_t*>(a.data) + aPlace;
  const auto* right = static_cast<const int8_t*>(b.data) + bPlace;
  const Int8Skinny& skinny = int8Skinny();
  const int64_t grain = std::max<int64_t>(1, kSkinnyGrain / (k + 1));
  for (int64_t i = 0; i < m; ++i) {
    const int8_t* row = left + i * a.strides[1];
    parallelFor(n, grain, [&](int64_t begin, int64_t end) {
      int32_t sums[kStrip];
      for (int64_t first = begin; first < end; first += kStrip) {
        const int64_t count = std::min(kStrip, end - first);
        if (across) skinny.across(count, k, row, a.strides[2], right + first, b.strides[1], sums);
        else
          for (int64_t j = 0; j < count; ++j) sums[j] = skinny.dot(k, row, right + (first + j) * b.strides[2]);
        store(outPlace + i * out.strides[1] + first, count, sums);
      }
    });
  }
  return true;
}

}  // namespace

Status matmul(Queue*, const View* a, const View* b, const View* out) {
  return forEachMatrix(*a, *b, *out, [&](int64_t aPlace, int64_t bPlace, int64_t outPlace, int64_t m) {
    const Matrix left{placeOf(*a, aPlace), dtypeOf(*a), a->strides[1], a->strides[2]};
    const Matrix right{placeOf(*b, bPlace), dtypeOf(*b), b->strides[1], b->strides[2]};
    return gemmFloat(m, out->shape[2], a->shape[2], left, right, floatOutput(*out, nullptr, outPlace, out->strides[1], out->strides[2]));
  });
}

Status intMatmul(Queue*, const View* a, const View* b, const View* out) {
  auto* sums = static_cast<int32_t*>(out->data);
  return forEachMatrix(*a, *b, *out, [&](int64_t aPlace, int64_t bPlace, int64_t outPlace, int64_t m) {
    const bool done = multiplyUnpacked(*a, *b, *out, aPlace, bPlace, outPlace, m,
                                       [&](int64_t place, int64_t count, const int32_t* row) { std::copy_n(row, count, sums + place); });
    if (done) return Status::ok;
    return gemmInt8(m, out->shape[2], a->shape[2], static_cast<const int8_t*>(a->data) + aPlace, a->strides[1], a->strides[2],
                    transposedInt8(*b, bPlace), sums + outPlace, out->strides[1], out->strides[2]);
  });
}

Status intMatmulScaled(Queue*, const View* a, const View* b, const View* scale, const View* out) {
  static constexpr float kOne = 1;
  const float factor = *static_cast<const float*>(scale->data);
  const Writer<float> writer(*out, 1);
  return forEachMatrix(*a, *b, *out, [&](int64_t aPlace, int64_t bPlace, int64_t outPlace, int64_t m) {
    const bool done = multiplyUnpacked(*a, *b, *out, aPlace, bPlace, outPlace, m, [&](int64_t place, int64_t count, const int32_t* row) {
      constexpr int64_t kStrip = 256;
      float buffer[kStrip];
      for (int64_t begin = 0; begin < count; begin += kStrip) {
        const int64_t taken = std::min(kStrip, count - begin);
        float* values = writer.target(place + begin, buffer);
        for (int64_t j = 0; j < taken; ++j) values[j] = static_cast<float>(row[begin + j]) * factor;
        writer.write(place + begin, taken, values);
      }
    });
    if (done) return Status::ok;
    const Int8Source rows{
        static_cast<const int8_t*>(a->data) + aPlace, DType::int8, a->strides[1], a->strides[2], {&factor, DType::float32, 0}};
    const Int8Output target{floatOutput(*out, nullptr, outPlace, out->strides[1], out->strides[2]), DType::float32, Activation::none, {}};
    return gemmInt8Scaled(m, out->shape[2], a->shape[2], rows, transposedInt8(*b, bPlace), {&kOne, DType::float32, 0}, target);
  });
}

Status linear(Queue*, const View* src, const View* weight, const View* bias, const View* out) {
  const Matrix left{src->data, dtypeOf(*src), src->strides[0], src->strides[1]};
  const Matrix right{weight->data, dtypeOf(*weight), weight->strides[1], weight->strides[0]};
  return gemmFloat(out->shape[0], out->shape[1], src->shape[1], left, right, floatOutput(*out, bias, 0, out->strides[0], out->strides[1]));
}

Status linearWeightOnly(Queue*, const View* src, const View* weight, const View* scale, const View* bias, const View* out,
                        int32_t precision) {
  const Matrix left{src->data, dtypeOf(*src), src->strides[0], src->strides[1]};
  return gemmWeightOnly(out->shape[0], out->shape[1], src->shape[1], left, weightOf(*weight), scalesOf(*scale),
                        floatOutput(*out, bias, 0, out->strides[0], out->strides[1]), static_cast<Precision>(precision));
}

Status linearInt8(Queue*, const View* src, const View* srcScale, const View* weight, const View* scale, const View* bias,
                  const View* outScale, const View* out, int32_t activation) {
  Int8Output target{floatOutput(*out, bias, 0, out->strides[0], out->strides[1]), dtypeOf(*scale), static_cast<Activation>(activation), {}};
  if (outScale) target.codeScale = scalesOf(*outScale);
  return gemmInt8Scaled(out->shape[0], out->shape[1], src->shape[1], int8Source(*src, srcScale), weightOf(*weight), scalesOf(*scale),
                        target);
}

Status packWeight(Queue*, const View* src, const View* out) {
  packInt8(src->shape[0], src->shape[1], static_cast<const int8_t*>(src->data), src->strides[0], src->strides[1], out->data);
  return Status::ok;
}

Status unpackWeight(Queue*, const View* src, const View* out) {
  unpackInt8(out->shape[0], out->shape[1], src->data, static_cast<int8_t*>(out->data));
  return Status::ok;
}

Status linearBits(Queue*, const View* src, const View* weight, const View* scale, const View* shift, const View* bias, const View* out,
                  int32_t bits, int64_t groupSize, int32_t precision) {
  const Matrix left{src->data, dtypeOf(*src), src->strides[0], src->strides[1]};
  const Scales scales{scale->data, dtypeOf(*scale), 1};
  const Scales shifts = shift ? Scales{shift->data, dtypeOf(*shift), 1} : Scales{nullptr, DType::float32, 0};
  return gemmBits(out->shape[0], out->shape[1], src->shape[1], left, {weight->data, dtypeOf(*weight), bits, groupSize}, scales, shifts,
                  floatOutput(*out, bias, 0, out->strides[0], out->strides[1]), static_cast<Precision>(precision));
}

Status linearBitsInt8(Queue*, const View* src, const View* srcScale, const View* weight, const View* scale, const View* shift,
                      const View* bias, const View* out, int32_t bits, int64_t groupSize) {
  return gemmBitsInt8(out->shape[0], out->shape[1], src->shape[1], int8Source(*src, srcScale),
                      {weight->data, dtypeOf(*weight), bits, groupSize}, {scale->data, dtypeOf(*scale), 1},
                      {shift->data, dtypeOf(*shift), 1}, floatOutput(*out, bias, 0, out->strides[0], out->strides[1]));
}

Status packWeightBits(Queue*, const View* src, const View* out, int32_t bits, int64_t groupSize) {
  packBitsWeight(out->shape[0], out->shape[1], {nullptr, dtypeOf(*src), bits, groupSize}, static_cast<const uint8_t*>(src->data),
                 static_cast<uint8_t*>(out->data));
  return Status::ok;
}

Status unpackWeightBits(Queue*, const View* src, const View* out, int32_t bits, int64_t groupSize) {
  unpackBitsWeight(src->shape[0], src->shape[1], {nullptr, dtypeOf(*src), bits, groupSize}, static_cast<const uint8_t*>(src->data),
                   static_cast<uint8_t*>(out->data));
  return Status::ok;
}

}  // namespace quanto::cpu
