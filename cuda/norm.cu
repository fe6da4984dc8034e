// Softmax and the normalizations: a block for each row.
#include "../csrc/scalar_math.h"
#include "backend.h"
#include "block.h"
#include "codes.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

struct Rows {
  int64_t count, n;
};

Rows rowsOf(const View& view) {
  Rows rows{1, 1};
  for (int i = 0; i < view.ndim - 1; ++i) rows.count *= view.shape[i];
  if (view.ndim > 0) rows.n = view.shape[view.ndim - 1];
  return rows;
}

float* floats(const View* view) { return view ? static_cast<float*>(view->data) : nullptr; }

// Sum of term(i) over [0, n); every thread of the block gets it.
template <class Term>
QUANTO_DEVICE double sumOver(int64_t n, const Term& term) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) sum += term(i);
  return sumBlock(sum);
}

QUANTO_DEVICE float largestOf(const Operand& src, int64_t place, int64_t n) {
  float largest = -infinity();
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
    const float x = src.get(place + i);
    largest = largest != largest || largest > x ? largest : x;
  }
  return largestBlock(largest);
}

// Layer norm: store(element, value) takes the results; means and inverses, where given, what they were made of.
template <class Store>
void normalizeRows(Issue& issue, const View* src, const View* weight, const View* bias, float* means, float* inverses, double eps,
                   const Store& store) {
  const Rows rows = rowsOf(*src);
  const int64_t n = rows.n;
  const Operand source(*src), scale(weight), shift(bias);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    const int64_t place = row * n;
    const auto count = static_cast<double>(n);
    const auto center = static_cast<float>(sumOver(n, [&](int64_t i) { return source.get(place + i); }) / count);
    const auto squared = [&](int64_t i) {
      const float distance = source.get(place + i) - center;
      return distance * distance;
    };
    const auto inverse = static_cast<float>(1 / ::sqrt(sumOver(n, squared) / count + eps));
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      float y = (source.get(place + i) - center) * inverse;
      if (scale.given()) y *= scale.get(i);
      if (shift.given()) y += shift.get(i);
      store(place + i, y);
    }
    if (threadIdx.x == 0 && means) means[row] = center;
    if (threadIdx.x == 0 && inverses) inverses[row] = inverse;
  });
}

// RMS norm, in the same way.
template <class Store>
void scaleRows(Issue& issue, const View* src, const View* weight, float* inverses, double eps, const Store& store) {
  const Rows rows = rowsOf(*src);
  const int64_t n = rows.n;
  const Operand source(*src), scale(weight);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    const int64_t place = row * n;
    const auto squared = [&](int64_t i) { return source.get(place + i) * source.get(place + i); };
    const auto inverse = static_cast<float>(1 / ::sqrt(sumOver(n, squared) / static_cast<double>(n) + eps));
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
      const float y = source.get(place + i) * inverse;
      store(place + i, scale.given() ? y * scale.get(i) : y);
    }
    if (threadIdx.x == 0 && inverses) inverses[row] = inverse;
  });
}

// Takes results as int8 codes.
struct Encoder {
  Operand scale;
  int8_t* codes;
  Encoder(const View& scale, const View& out) : scale(scale), codes(static_cast<int8_t*>(out.data)) {}
  QUANTO_DEVICE void operator()(int64_t at, float value) const { codes[at] = int8Code(value, scale.get(0), scale.dtype); }
};

// The gradient of x_hat = (x - mean) * rstd is rstd * (g - mean(g) - x_hat * mean(g * x_hat)) with g = dout * weight; RMS norm has no
// mean, and its g keeps its own.
void normalizeBackward(Issue& issue, const View* dout, const View* src, const View* weight, const float* mean, const float* rstd,
                       const View* dsrc) {
  const Rows rows = rowsOf(*src);
  const int64_t n = rows.n;
  const Operand slopes(*dout), values(*src), scale(weight), results(*dsrc);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    const int64_t place = row * n;
    const float center = mean ? mean[row] : 0.0f, inverse = rstd[row];
    const auto slope = [&](int64_t i) { return scale.given() ? slopes.get(place + i) * scale.get(i) : slopes.get(place + i); };
    const auto normalized = [&](int64_t i) { return (values.get(place + i) - center) * inverse; };
    const auto along = static_cast<float>(sumOver(n, [&](int64_t i) { return slope(i) * normalized(i); }) / static_cast<double>(n));
    const auto level = static_cast<float>(mean ? sumOver(n, slope) / static_cast<double>(n) : 0.0);
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) results.set(place + i, inverse * (slope(i) - level - normalized(i) * along));
  });
}

// dweight = sum over rows of dout * x_hat, dbias the sum of dout; a thread for each column, so that neighbours read neighbours.
void columnGradients(Issue& issue, const View* dout, const View* src, const float* mean, const float* rstd, float* dweight, float* dbias) {
  const Rows rows = rowsOf(*src);
  const Operand slopes(*dout), values(*src);
  issue.forEach(rows.n, [=] QUANTO_DEVICE(int64_t column) {
    double weightSum = 0, biasSum = 0;
    for (int64_t row = 0; row < rows.count; ++row) {
      const int64_t at = row * rows.n + column;
      const float dy = slopes.get(at);
      biasSum += dy;
      if (dweight) weightSum += dy * ((values.get(at) - (mean ? mean[row] : 0.0f)) * rstd[row]);
    }
    if (dweight) dweight[column] = static_cast<float>(weightSum);
    if (dbias) dbias[column] = static_cast<float>(biasSum);
  });
}

}  // namespace

Status softmax(Queue* queue, const View* src, const View* out) {
  Issue issue(queue);
  const Rows rows = rowsOf(*src);
  const int64_t n = rows.n;
  const Operand source(*src), target(*out);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    const int64_t place = row * n;
    const float largest = largestOf(source, place, n);
    const auto term = [&](int64_t i) { return math::exp(source.get(place + i) - largest); };
    const auto sum = static_cast<float>(sumOver(n, term));
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) target.set(place + i, term(i) / sum);
  });
  return issue.finish();
}

Status logSoftmax(Queue* queue, const View* src, const View* out) {
  Issue issue(queue);
  const Rows rows = rowsOf(*src);
  const int64_t n = rows.n;
  const Operand source(*src), target(*out);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    const int64_t place = row * n;
    const float largest = largestOf(source, place, n);
    const auto logSum = static_cast<float>(::log(sumOver(n, [&](int64_t i) { return math::exp(source.get(place + i) - largest); })));
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) target.set(place + i, (source.get(place + i) - largest) - logSum);
  });
  return issue.finish();
}

Status softmaxBackward(Queue* queue, const View* dout, const View* out, const View* dsrc) {
  Issue issue(queue);
  const Rows rows = rowsOf(*out);
  const int64_t n = rows.n;
  const Operand slopes(*dout), values(*out), target(*dsrc);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    const int64_t place = row * n;
    const auto sum = static_cast<float>(sumOver(n, [&](int64_t i) { return slopes.get(place + i) * values.get(place + i); }));
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) target.set(place + i, values.get(place + i) * (slopes.get(place + i) - sum));
  });
  return issue.finish();
}

Status logSoftmaxBackward(Queue* queue, const View* dout, const View* out, const View* dsrc) {
  Issue issue(queue);
  const Rows rows = rowsOf(*out);
  const int64_t n = rows.n;
  const Operand slopes(*dout), values(*out), target(*dsrc);
  forEachRowBlock(issue, rows.count, n, [=] QUANTO_DEVICE(int64_t row) {
    const int64_t place = row * n;
    const auto sum = static_cast<float>(sumOver(n, [&](int64_t i) { return slopes.get(place + i); }));
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
      target.set(place + i, slopes.get(place + i) - math::exp(values.get(place + i)) * sum);
  });
  return issue.finish();
}

Status layerNorm(Queue* queue, const View* src, const View* weight, const View* bias, const View* out, const View* mean, const View* rstd,
                 double eps) {
  Issue issue(queue);
  const Operand target(*out);
  normalizeRows(issue, src, weight, bias, floats(mean), floats(rstd), eps,
                [=] QUANTO_DEVICE(int64_t at, float value) { target.set(at, value); });
  return issue.finish();
}

Status batchNormAffine(Queue* queue, const View* mean, const View* variance, const View* weight, const View* bias, const View* scale,
                       const View* shift, double eps) {
  Issue issue(queue);
  const Operand means(*mean), variances(*variance), weights(weight), biases(bias);
  auto *scales = static_cast<float*>(scale->data), *shifts = static_cast<float*>(shift->data);
  const auto term = static_cast<float>(eps);
  issue.forEach(scale->shape[0], [=] QUANTO_DEVICE(int64_t i) {
    const float rstd = 1 / math::sqrt(variances.get(i) + term), factor = weights.given() ? rstd * weights.get(i) : rstd;
    const float offset = -(factor * means.get(i));
    scales[i] = factor;
    shifts[i] = biases.given() ? offset + biases.get(i) : offset;
  });
  return issue.finish();
}

Status batchNorm(Queue* queue, const View* src, const View* scale, const View* shift, const View* out) {
  Issue issue(queue);
  const int64_t channels = src->shape[1], length = src->shape[2];
  const Operand source(*src), target(*out);
  const float *scales = floats(scale), *shifts = floats(shift);
  issue.forEach(src->shape[0] * channels * length, [=] QUANTO_DEVICE(int64_t i) {
    const int64_t channel = i / length % channels;
    target.set(i, source.get(i) * scales[channel] + shifts[channel]);
  });
  return issue.finish();
}

Status layerNormInt8(Queue* queue, const View* src, const View* weight, const View* bias, const View* scale, const View* out, double eps) {
  Issue issue(queue);
  normalizeRows(issue, src, weight, bias, nullptr, nullptr, eps, Encoder(*scale, *out));
  return issue.finish();
}

Status layerNormBackward(Queue* queue, const View* dout, const View* src, const View* weight, const View* mean, const View* rstd,
                         const View* dsrc, const View* dweight, const View* dbias) {
  Issue issue(queue);
  if (dweight || dbias) columnGradients(issue, dout, src, floats(mean), floats(rstd), floats(dweight), floats(dbias));
  if (dsrc) normalizeBackward(issue, dout, src, weight, floats(mean), floats(rstd), dsrc);
  return issue.finish();
}

Status rmsNorm(Queue* queue, const View* src, const View* weight, const View* out, const View* rstd, double eps) {
  Issue issue(queue);
  const Operand target(*out);
  scaleRows(issue, src, weight, floats(rstd), eps, [=] QUANTO_DEVICE(int64_t at, float value) { target.set(at, value); });
  return issue.finish();
}

Status rmsNormInt8(Queue* queue, const View* src, const View* weight, const View* scale, const View* out, double eps) {
  Issue issue(queue);
  scaleRows(issue, src, weight, nullptr, eps, Encoder(*scale, *out));
  return issue.finish();
}

Status rmsNormBackward(Queue* queue, const View* dout, const View* src, const View* weight, const View* rstd, const View* dsrc,
                       const View* dweight) {
  Issue issue(queue);
  if (dweight) columnGradients(issue, dout, src, nullptr, floats(rstd), floats(dweight), nullptr);
  if (dsrc) normalizeBackward(issue, dout, src, weight, nullptr, floats(rstd), dsrc);
  return issue.finish();
}

}  // namespace quanto::cuda
