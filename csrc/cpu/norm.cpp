#include "kernels.h"
#include "norm_loops.h"
#include "row_loops.h"
#include "rows.h"

namespace quanto::cpu {
namespace {

const float* floats(const View& view) { return static_cast<const float*>(view.data); }
float* floats(const View* view) { return view ? static_cast<float*>(view->data) : nullptr; }

// The optional weight or bias of a normalization, as floats.
class Parameter {
 public:
  explicit Parameter(const View* view) : reader_(view ? *view : View{}, 1), given_(view != nullptr) {}
  // Null where there is none.
  const float* read(int64_t begin, int64_t n, float* buffer) const { return given_ ? reader_.read(begin, n, buffer) : nullptr; }
  const float* read(int64_t n, float* buffer) const { return read(0, n, buffer); }

 private:
  Reader<float> reader_;
  bool given_;
};

// out = loop(src), row by row.
Status mapRows(const View* src, const View* out, void (*loop)(const float* x, float* out, int64_t n)) {
  const Rows rows = rowsOf(*src);
  const Reader<float> reader(*src, 1);
  const Writer<float> writer(*out, 1);
  return forEachRow(rows, 2, kCostlyGrain, [&](int64_t row, const RowBuffers& buffers) {
    const int64_t n = rows.n;
    float* y = writer.target(row * n, buffers[1]);
    loop(reader.read(row * n, n, buffers[0]), y, n);
    writer.write(row * n, n, y);
  });
}

// dsrc = loop(dout, out), row by row; `past` where it is written past the caches.
Status mapSlopes(const View* dout, const View* out, const View* dsrc, void (*loop)(const float* dy, const float* y, float* dx, int64_t n),
                 bool past) {
  const Rows rows = rowsOf(*out);
  const Reader<float> slopes(*dout, 1), values(*out, 1);
  const Writer<float> writer(*dsrc, 1, past);
  const auto body = [&](int64_t row, const RowBuffers& buffers) {
    const int64_t n = rows.n;
    float* target = writer.target(row * n, buffers[2]);
    loop(slopes.read(row * n, n, buffers[0]), values.read(row * n, n, buffers[1]), target, n);
    writer.write(row * n, n, target);
  };
  return forEachRow(rows, 3, kCheapGrain / 4, body, writer.past());
}

// out[column] = sum over rows of a term; terms(row, begin, n, buffer) gives those of columns [begin, begin + n),
// in the buffer or where they lie.
template <class Terms>
void sumColumns(const Rows& rows, float* out, Terms&& terms) {
  const int64_t grain = std::max<int64_t>(16, kCheapGrain / std::max<int64_t>(1, rows.count));
  parallelFor(rows.n, grain, [&](int64_t first, int64_t last) {
    for (int64_t begin = first; begin < last; begin += kBlock) {
      const int64_t n = std::min(kBlock, last - begin);
      double sums[kBlock] = {};
      for (int64_t row = 0; row < rows.count; ++row) {
        float buffer[kBlock];
        rowLoops().addTo(sums, terms(row, begin, n, buffer), n);
      }
      for (int64_t i = 0; i < n; ++i) out[begin + i] = static_cast<float>(sums[i]);
    }
  });
}

Status normalizeBackward(const View* dout, const View* src, const View* weight, const float* mean, const float* rstd, const View* dsrc) {
  const Rows rows = rowsOf(*src);
  const Reader<float> slopes(*dout, 1), values(*src, 1);
  const Writer<float> results(*dsrc, 1);
  const Parameter scale(weight);
  return forEachRow(rows, 5, kCheapGrain / 4, [&](int64_t row, const RowBuffers& buffers) {
    const int64_t n = rows.n, place = row * n;
    const float* dy = slopes.read(place, n, buffers[0]);
    const float* x = values.read(place, n, buffers[1]);
    const float* w = scale.read(n, buffers[2]);
    float* target = results.target(place, buffers[3]);
    normLoops().normBackward(dy, x, w, mean ? mean + row : nullptr, rstd[row], buffers[4], target, n);
    results.write(place, n, target);
  });
}

// dweight = sum over rows of dout * x_hat
void weightGradient(const View* dout, const View* src, const float* mean, const float* rstd, float* dweight) {
  const Rows rows = rowsOf(*src);
  const Reader<float> slopes(*dout, 1), values(*src, 1);
  sumColumns(rows, dweight, [&](int64_t row, int64_t begin, int64_t n, float* term) -> const float* {
    float dyBuffer[kBlock], xBuffer[kBlock];
    const float* dy = slopes.read(row * rows.n + begin, n, dyBuffer);
    const float* x = values.read(row * rows.n + begin, n, xBuffer);
    normLoops().weightTerms(dy, x, mean ? mean[row] : 0, rstd[row], term, n);
    return term;
  });
}

// Codes of a row as ../quantize.cpp makes them: a value, and a quotient, of a narrow dtype is rounded to it first.
class Encoder {
 public:
  Encoder(DType dtype, const View& scale, const View& out)
      : round_(storeFunction<float>(dtype)),
        widen_(loadFunction<float>(dtype)),
        narrow_(dtype != DType::float32),
        scale_(Reader<float>(scale, 1).readOne(0)),
        codes_(static_cast<int8_t*>(out.data)) {}

  void write(int64_t offset, int64_t n, float* values) const {
    if (!narrow_) {
      rowLoops().quantizeInt8(values, &scale_, 0, codes_ + offset, n);
      return;
    }
    constexpr float kOne = 1;
    for (int64_t begin = 0; begin < n; begin += kBlock) {
      float* block = values + begin;
      const int64_t count = std::min(kBlock, n - begin);
      roundAll(count, block);
      for (int64_t i = 0; i < count; ++i) block[i] = scale_ == 0 ? 0 : block[i] / scale_;
      roundAll(count, block);
      rowLoops().quantizeInt8(block, &kOne, 0, codes_ + offset + begin, count);
    }
  }

 private:
  void roundAll(int64_t count, float* values) const {
    uint16_t rounded[kBlock];
    round_(values, count, rounded, 1);
    widen_(rounded, 1, count, values);
  }

  Store<float> round_;
  Load<float> widen_;
  bool narrow_;
  float scale_;
  int8_t* codes_;
};

}  // namespace

Status softmax(Queue*, const View* src, const View* out) { return mapRows(src, out, normLoops().softmax); }
Status logSoftmax(Queue*, const View* src, const View* out) { return mapRows(src, out, normLoops().logSoftmax); }

Status softmaxBackward(Queue*, const View* dout, const View* out, const View* dsrc) {
  return mapSlopes(dout, out, dsrc, normLoops().softmaxBackward, rowsPast(rowsOf(*out), *dsrc, *dout, *out));
}
Status logSoftmaxBackward(Queue*, const View* dout, const View* out, const View* dsrc) {
  return mapSlopes(dout, out, dsrc, normLoops().logSoftmaxBackward, false);
}

Status layerNorm(Queue*, const View* src, const View* weight, const View* bias, const View* out, const View* mean, const View* rstd,
                 double eps) {
  const Rows rows = rowsOf(*src);
  const Reader<float> reader(*src, 1);
  const Writer<float> writer(*out, 1, rowsPast(rows, *out, *src));
  const Parameter scale(weight), shift(bias);
  const auto body = [&](int64_t row, const RowBuffers& buffers) {
    const int64_t n = rows.n;
    const float* x = reader.read(row * n, n, buffers[0]);
    const float* w = scale.read(n, buffers[1]);
    const float* b = shift.read(n, buffers[2]);
    float* y = writer.target(row * n, buffers[3]);
    float center, inverse;
    normLoops().layerNorm(x, w, b, y, n, eps, &center, &inverse);
    writer.write(row * n, n, y);
    if (mean) floats(mean)[row] = center;
    if (rstd) floats(rstd)[row] = inverse;
  };
  return forEachRow(rows, 4, kCheapGrain / 4, body, writer.past());
}

Status layerNormBackward(Queue*, const View* dout, const View* src, const View* weight, const View* mean, const View* rstd,
                         const View* dsrc, const View* dweight, const View* dbias) {
  if (dweight) weightGradient(dout, src, floats(*mean), floats(*rstd), floats(dweight));
  if (dbias) {
    const Rows rows = rowsOf(*src);
    const Reader<float> slopes(*dout, 1);
    sumColumns(rows, floats(dbias),
               [&](int64_t row, int64_t begin, int64_t n, float* buffer) { return slopes.read(row * rows.n + begin, n, buffer); });
  }
  return dsrc ? normalizeBackward(dout, src, weight, floats(*mean), floats(*rstd), dsrc) : Status::ok;
}

Status rmsNorm(Queue*, const View* src, const View* weight, const View* out, const View* rstd, double eps) {
  const Rows rows = rowsOf(*src);
  const Reader<float> reader(*src, 1);
  const Writer<float> writer(*out, 1, rowsPast(rows, *out, *src));
  const Parameter scale(weight);
  const auto body = [&](int64_t row, const RowBuffers& buffers) {
    const int64_t n = rows.n;
    const float* x = reader.read(row * n, n, buffers[0]);
    const float* w = scale.read(n, buffers[1]);
    float* y = writer.target(row * n, buffers[2]);
    float inverse;
    normLoops().rmsNorm(x, w, y, n, eps, &inverse);
    writer.write(row * n, n, y);
    if (rstd) floats(rstd)[row] = inverse;
  };
  return forEachRow(rows, 3, kCheapGrain / 4, body, writer.past());
}

Status batchNormAffine(Queue*, const View* mean, const View* variance, const View* weight, const View* bias, const View* scale,
                       const View* shift, double eps) {
  const Reader<float> means(*mean, 1), variances(*variance, 1);
  const Parameter factors(weight), terms(bias);
  const auto term = static_cast<float>(eps);
  const int64_t channels = scale->shape[0];
  for (int64_t begin = 0; begin < channels; begin += kBlock) {
    const int64_t n = std::min(kBlock, channels - begin);
    float buffers[4][kBlock];
    const float *m = means.read(begin, n, buffers[0]), *v = variances.read(begin, n, buffers[1]);
    const float *w = factors.read(begin, n, buffers[2]), *b = terms.read(begin, n, buffers[3]);
    normLoops().batchNormAffine(m, v, w, b, term, floats(scale) + begin, floats(shift) + begin, n);
  }
  return Status::ok;
}

Status batchNorm(Queue*, const View* src, const View* scale, const View* shift, const View* out) {
  const int64_t images = src->shape[0], channels = src->shape[1], length = src->shape[2];
  // Of one value for each channel, the channels make a row.
  const bool across = length == 1;
  const Rows rows = across ? Rows{images, channels} : Rows{images * channels, length};
  const Reader<float> reader(*src, 1);
  const Writer<float> writer(*out, 1, rowsPast(rows, *out, *src));
  const auto body = [&](int64_t row, const RowBuffers& buffers) {
    const int64_t n = rows.n, channel = across ? 0 : row % channels;
    float* y = writer.target(row * n, buffers[1]);
    normLoops().scaleShift(reader.read(row * n, n, buffers[0]), floats(*scale) + channel, floats(*shift) + channel, across, y, n);
    writer.write(row * n, n, y);
  };
  return forEachRow(rows, 2, kCheapGrain, body, writer.past());
}

Status layerNormInt8(Queue*, const View* src, const View* weight, const View* bias, const View* scale, const View* out, double eps) {
  const Rows rows = rowsOf(*src);
  const Reader<float> reader(*src, 1);
  const Encoder encoder(dtypeOf(*src), *scale, *out);
  const Parameter factor(weight), term(bias);
  return forEachRow(rows, 4, kCheapGrain / 4, [&](int64_t row, const RowBuffers& buffers) {
    const int64_t n = rows.n;
    float center, inverse;
    normLoops().layerNorm(reader.read(row * n, n, buffers[0]), factor.read(n, buffers[1]), term.read(n, buffers[2]), buffers[3], n, eps,
                          &center, &inverse);
    encoder.write(row * n, n, buffers[3]);
  });
}

Status rmsNormInt8(Queue*, const View* src, const View* weight, const View* scale, const View* out, double eps) {
  const Rows rows = rowsOf(*src);
  const Reader<float> reader(*src, 1);
  const Encoder encoder(dtypeOf(*src), *scale, *out);
  const Parameter factor(weight);
  return forEachRow(rows, 3, kCheapGrain / 4, [&](int64_t row, const RowBuffers& buffers) {
    const int64_t n = rows.n;
    float inverse;
    normLoops().rmsNorm(reader.read(row * n, n, buffers[0]), factor.read(n, buffers[1]), buffers[2], n, eps, &inverse);
    encoder.write(row * n, n, buffers[2]);
  });
}

Status rmsNormBackward(Queue*, const View* dout, const View* src, const View* weight, const View* rstd, const View* dsrc,
                       const View* dweight) {
  if (dweight) weightGradient(dout, src, nullptr, floats(*rstd), floats(dweight));
  return dsrc ? normalizeBackward(dout, src, weight, nullptr, floats(*rstd), dsrc) : Status::ok;
}

}  // namespace quanto::cpu
