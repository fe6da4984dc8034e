// Convolution, and its gradients as matrix products over unrolled patches (im2col), one block of output rows at a time.
#include <atomic>
#include <cstring>

#include "conv_depthwise.h"
#include "conv_fused.h"
#include "conv_shape.h"
#include "elements.h"
#include "gemm/gemm.h"
#include "kernels.h"
#include "loops.h"
#include "scratch.h"

namespace quanto::cpu {
namespace {

// Values of one block of unrolled patches.
constexpr int64_t kPatchBlock = 1 << 18;

const void* placeOf(const View& view, int64_t offset) { return static_cast<const char*>(view.data) + offset * sizeOf(dtypeOf(view)); }
void* outputOf(const View& view, int64_t offset) { return static_cast<char*>(view.data) + offset * sizeOf(dtypeOf(view)); }
FloatOutput output(void* data, DType dtype, int64_t rowStride) { return {data, dtype, rowStride, 1, nullptr, DType::float32, 0}; }

// Output is cut into blocks of whole rows. The cut depends on the shape alone, and so does every result.
struct Blocks {
  int64_t rows, perImage;
  explicit Blocks(const ConvShape& shape) {
    const int64_t values = std::max<int64_t>(1, shape.patch() * shape.outWidth);
    rows = std::clamp<int64_t>(kPatchBlock / values, 1, std::max<int64_t>(1, shape.outHeight));
    perImage = (shape.outHeight + rows - 1) / rows;
  }
};

// One block of one image and group.
struct Piece {
  int64_t image, group, firstRow, rows, pixels;  // of the output

  Piece(const ConvShape& shape, const Blocks& blocks, int64_t index) {
    image = index / (shape.groups * blocks.perImage);
    group = index / blocks.perImage % shape.groups;
    firstRow = index % blocks.perImage * blocks.rows;
    rows = std::min(blocks.rows, shape.outHeight - firstRow);
    pixels = rows * shape.outWidth;
  }
  int64_t srcPlace(const ConvShape& shape) const { return (image * shape.groups + group) * shape.inChannels * shape.pixels(); }
  int64_t outPlace(const ConvShape& shape) const {
    return (image * shape.groups + group) * shape.outChannels * shape.outPixels() + firstRow * shape.outWidth;
  }
};

// work(piece) for all pieces: by threads side by side where there are enough, else one after the other with each shared.
template <class Work>
Status forEachPiece(const ConvShape& shape, const Blocks& blocks, Work&& work) {
  std::atomic<Status> status{Status::ok};
  const int64_t count = shape.images * shape.groups * blocks.perImage;
  const auto some = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Status result = work(Piece(shape, blocks, i));
      if (result != Status::ok) status = result;
    }
  };
  const int64_t products = shape.patch() * shape.outChannels * std::min(blocks.rows, shape.outHeight) * shape.outWidth;
  if (count < 2 * threadCount()) some(0, count);
  else parallelFor(count, std::max<int64_t>(1, kCheapGrain * 8 / std::max<int64_t>(1, products)), some);
  return status;
}

// patches[channel, tap][pixel], as bits: zero is zero in every real dtype.
template <class T>
void unroll(const ConvShape& shape, const Piece& piece, const T* src, T* patches) {
  const int64_t stride = shape.window.stride[1], taps = shape.taps(), kernelWidth = shape.window.kernel[1];
  parallelFor(shape.patch(), std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, piece.pixels)), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* plane = src + row / taps * shape.pixels();
      T* out = patches + row * piece.pixels;
      std::memset(out, 0, piece.pixels * sizeof(T));
      forEachTapRow(shape, row % taps / kernelWidth, row % kernelWidth, piece.firstRow, piece.firstRow + piece.rows,
                    [&](int64_t y, int64_t x, int64_t n, int64_t inputY, int64_t inputX) {
                      T* to = out + (y - piece.firstRow) * shape.outWidth + x;
                      const T* from = plane + inputY * shape.width + inputX;
                      if (stride == 1) std::memcpy(to, from, n * sizeof(T));
                      else
                        for (int64_t i = 0; i < n; ++i) to[i] = from[i * stride];
                    });
    }
  });
}

// The patches of a piece as a matrix [patch, pixels] of src's dtype; `data` is null when out of memory.
Matrix patchesOf(const ConvShape& shape, const Piece& piece, const View& src) {
  const DType dtype = dtypeOf(src);
  const void* image = placeOf(src, piece.srcPlace(shape));
  if (shape.isPointwise()) {
    const char* rows = static_cast<const char*>(image) + piece.firstRow * shape.width * sizeOf(dtype);
    return {rows, dtype, shape.pixels(), 1};
  }
  thread_local ThreadBuffer buffer;
  void* patches = buffer.get(shape.patch() * piece.pixels * sizeOf(dtype));
  if (patches) {
    withElementBytes(dtype, [&](auto bytes) {
      using T = BitsOf<bytes>;
      unroll(shape, piece, static_cast<const T*>(image), static_cast<T*>(patches));
    });
  }
  return {patches, dtype, piece.pixels, 1};
}

// The reverse of unroll: adds patches to the plane they came from, always in the order of the taps.
void rollBack(const ConvShape& shape, const Piece& piece, const float* patches, float* dsrc) {
  const int64_t stride = shape.window.stride[1], taps = shape.taps(), kernelWidth = shape.window.kernel[1];
  const int64_t grain = std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, piece.pixels * taps));
  parallelFor(shape.inChannels, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * taps; row < end * taps; ++row) {
      float* plane = dsrc + row / taps * shape.pixels();
      const float* in = patches + row * piece.pixels;
      forEachTapRow(shape, row % taps / kernelWidth, row % kernelWidth, piece.firstRow, piece.firstRow + piece.rows,
                    [&](int64_t y, int64_t x, int64_t n, int64_t inputY, int64_t inputX) {
                      float* to = plane + inputY * shape.width + inputX;
                      const float* from = in + (y - piece.firstRow) * shape.outWidth + x;
                      for (int64_t i = 0; i < n; ++i) to[i * stride] += from[i];
                    });
    }
  });
}

// Biased, and rounded to out's dtype where `sums` is not out itself.
void finishPiece(const ConvShape& shape, const Piece& piece, const View* bias, float* sums, int64_t sumsStride, const View& out) {
  const Store<float> store = storeFunction<float>(dtypeOf(out));
  parallelFor(shape.outChannels, std::max<int64_t>(1, kCheapGrain / std::max<int64_t>(1, piece.pixels)), [&](int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; ++channel) {
      float* row = sums + channel * sumsStride;
      if (bias) {
        const float summand = Reader<float>(*bias, 1).readOne(piece.group * shape.outChannels + channel);
        for (int64_t i = 0; i < piece.pixels; ++i) row[i] += summand;
      }
      void* target = outputOf(out, piece.outPlace(shape) + channel * shape.outPixels());
      if (target != row) store(row, piece.pixels, target, 1);
    }
  });
}

Status convolvePiece(const ConvShape& shape, const Piece& piece, const View& src, const View& weight, const View* bias, const View& out) {
  const Matrix patches = patchesOf(shape, piece, src);
  if (!patches.data) return Status::outOfMemory;
  const int64_t patch = shape.patch();
  const Matrix kernel{placeOf(weight, piece.group * shape.outChannels * patch), dtypeOf(weight), patch, 1};
  float* sums = static_cast<float*>(outputOf(out, piece.outPlace(shape)));
  int64_t stride = shape.outPixels();
  if (dtypeOf(out) != DType::float32) {
    thread_local ThreadBuffer buffer;
    sums = static_cast<float*>(buffer.get(shape.outChannels * piece.pixels * static_cast<int64_t>(sizeof(float))));
    if (!sums) return Status::outOfMemory;
    stride = piece.pixels;
  }
  const Status status = gemmFloat(shape.outChannels, piece.pixels, patch, kernel, patches, output(sums, DType::float32, stride));
  if (status == Status::ok && (bias || dtypeOf(out) != DType::float32)) finishPiece(shape, piece, bias, sums, stride, out);
  return status;
}

Status inputGradient(const ConvShape& shape, const Blocks& blocks, int64_t unit, const View& dout, const View& weight, const View& dsrc) {
  const int64_t patch = shape.patch(), values = shape.inChannels * shape.pixels();
  thread_local ThreadBuffer patchBuffer, sumBuffer;
  const bool narrow = dtypeOf(dsrc) != DType::float32;
  float* patches = static_cast<float*>(patchBuffer.get(patch * blocks.rows * shape.outWidth * static_cast<int64_t>(sizeof(float))));
  void* sumMemory = narrow ? sumBuffer.get(values * static_cast<int64_t>(sizeof(float))) : outputOf(dsrc, unit * values);
  if (!patches || !sumMemory) return Status::outOfMemory;
  float* sums = static_cast<float*>(sumMemory);
  std::fill_n(sums, values, 0.0f);
  for (int64_t block = 0; block < blocks.perImage; ++block) {
    const Piece piece(shape, blocks, unit * blocks.perImage + block);
    const Matrix transposed{placeOf(weight, piece.group * shape.outChannels * patch), dtypeOf(weight), 1, patch};
    const Matrix slopes{placeOf(dout, piece.outPlace(shape)), dtypeOf(dout), shape.outPixels(), 1};
    const Status status =
        gemmFloat(patch, piece.pixels, shape.outChannels, transposed, slopes, output(patches, DType::float32, piece.pixels));
    if (status != Status::ok) return status;
    rollBack(shape, piece, patches, sums);
  }
  if (narrow) storeFunction<float>(dtypeOf(dsrc))(sums, values, outputOf(dsrc, unit * values), 1);
  return Status::ok;
}

}  // namespace

Status conv2d(Queue*, const View* src, const View* weight, const View* bias, const View* out, const Window* window) {
  const ConvShape shape(*src, *out, *window);
  if (!shape.isProduct()) return convolve(shape, {.src = src, .weight = weight, .bias = bias}, *out, Activation::none);
  if (shape.isDepthwise()) return convolveDepthwise(shape, *src, *weight, bias, *out);
  return forEachPiece(shape, Blocks(shape), [&](const Piece& piece) { return convolvePiece(shape, piece, *src, *weight, bias, *out); });
}

Status conv2dBackwardInput(Queue*, const View* dout, const View* weight, const View* dsrc, const Window* window) {
  const ConvShape shape(*dsrc, *dout, *window);
  if (shape.isDepthwise()) return depthwiseInputGradient(shape, *dout, *weight, *dsrc);
  const Blocks blocks(shape);
  // The blocks of an image overlap in its gradient, so an image and group is one unit of work.
  Blocks whole = blocks;
  whole.rows = shape.outHeight;
  whole.perImage = 1;
  return forEachPiece(shape, whole, [&](const Piece& piece) {
    return inputGradient(shape, blocks, piece.image * shape.groups + piece.group, *dout, *weight, *dsrc);
  });
}

Status conv2dBackwardWeight(Queue*, const View* dout, const View* src, const View* dweight, const Window* window) {
  const ConvShape shape(*src, *dout, *window);
  if (shape.isDepthwise()) return depthwiseWeightGradient(shape, *dout, *src, *dweight);
  const Blocks blocks(shape);
  const int64_t patch = shape.patch(), values = shape.outChannels * patch;
  thread_local ThreadBuffer buffer;
  float* product = static_cast<float*>(buffer.get(2 * values * static_cast<int64_t>(sizeof(float))));
  if (!product) return Status::outOfMemory;
  float* sums = product + values;
  for (int64_t group = 0; group < shape.groups; ++group) {
    std::fill_n(sums, values, 0.0f);
    for (int64_t image = 0; image < shape.images; ++image) {
      for (int64_t block = 0; block < blocks.perImage; ++block) {
        const Piece piece(shape, blocks, (image * shape.groups + group) * blocks.perImage + block);
        const Matrix patches = patchesOf(shape, piece, *src);
        if (!patches.data) return Status::outOfMemory;
        const Matrix slopes{placeOf(*dout, piece.outPlace(shape)), dtypeOf(*dout), shape.outPixels(), 1};
        const Matrix transposed{patches.data, patches.dtype, 1, patches.rowStride};
        const Status status = gemmFloat(shape.outChannels, patch, piece.pixels, slopes, transposed, output(product, DType::float32, patch));
        if (status != Status::ok) return status;
        parallelFor(values, kCheapGrain, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) sums[i] += product[i];
        });
      }
    }
    storeFunction<float>(dtypeOf(*dweight))(sums, values, outputOf(*dweight, group * values), 1);
  }
  return Status::ok;
}

}  // namespace quanto::cpu
