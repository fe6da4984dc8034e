// Convolution as a matrix product whose right operand is unrolled on the way (im2col): into memory for cuBLASLt, else while it is read.
#include "backend.h"
#include "blas_lt.h"
#include "conv_depthwise.h"
#include "gemm.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

View matrices(void* data, DType dtype, int64_t batch, int64_t rows, int64_t columns, int64_t batchStride) {
  View view{};
  view.data = data;
  view.dtype = static_cast<int32_t>(dtype);
  view.ndim = 3;
  const int64_t shape[] = {batch, rows, columns}, strides[] = {batchStride, columns, 1};
  for (int dim = 0; dim < 3; ++dim) {
    view.shape[dim] = shape[dim];
    view.strides[dim] = strides[dim];
  }
  return view;
}

// Patches of more bytes than this are not unrolled into memory.
constexpr int64_t kMostPatchBytes = int64_t{256} << 20;

// One group: its patches are unrolled into scratch memory, and the library multiplies. False where it does not.
bool convolveByBlasLt(Issue& issue, Queue* queue, const ConvShape& shape, const View& src, const View& weight, const ConvFinish& finish,
                      const View& out) {
  const int64_t patch = shape.patch(), pixels = shape.outPixels(), count = shape.images * patch * pixels;
  // Steps that follow a sum in a narrow dtype would round it twice.
  const bool narrowSteps = !finish.isPlain() && dtypeOf(out) != DType::float32;
  if (shape.groups != 1 || narrowSteps || count * elementBytes(src) > kMostPatchBytes) return false;
  void* patches = issue.scratch(Scratch::patches, static_cast<size_t>(count) * elementBytes(src));
  if (issue.failed()) return false;
  const int bytes = elementBytes(src);
  void* const source = src.data;
  const int64_t imageSize = shape.inChannels * shape.pixels();
  issue.forEach(count, [=] QUANTO_DEVICE(int64_t i) {
    const int64_t pixel = i % pixels, row = i / pixels % patch, image = i / pixels / patch;
    const int64_t place = shape.inputPlace(row, pixel);
    const uint64_t zero = 0;
    moveElement(patches, i, place < 0 ? &zero : source, place < 0 ? 0 : image * imageSize + place, bytes);
  });
  const View left = matrices(weight.data, dtypeOf(weight), shape.images, shape.outChannels, patch, 0);
  const View right = matrices(patches, dtypeOf(src), shape.images, patch, pixels, patch * pixels);
  const View result = matrices(out.data, dtypeOf(out), shape.images, shape.outChannels, pixels, shape.outChannels * pixels);
  if (!multiplyByBlasLt(issue, queue, left, right, result)) return false;
  if (finish.isPlain()) return true;
  const auto* sums = static_cast<const float*>(out.data);
  const int64_t channels = shape.outChannels;
  issue.forEach(shape.images * channels * pixels,
                [=] QUANTO_DEVICE(int64_t i) { finish.store(finish.channel<float>(i / pixels % channels), i, sums[i]); });
  return true;
}

Status convolve(Queue* queue, const View& src, const View& weight, const ConvFinish& finish, const View& out, const Window& window) {
  Issue issue(queue);
  const ConvShape shape(src, out, window);
  if (elementCount(out) == 0) return issue.finish();
  const Operand source(src), kernel(weight);
  if (shape.isDepthwise()) {
    convolveDepthwise<float>(
        issue, shape, [=] QUANTO_DEVICE(int64_t place) { return source.get(place); },
        [=] QUANTO_DEVICE(int64_t place) { return kernel.get(place); }, finish);
    return issue.finish();
  }
  if (convolveByBlasLt(issue, queue, shape, src, weight, finish, out)) return issue.finish();
  // An item is a group of an image.
  multiply(
      issue, shape.images * shape.groups, shape.outChannels, shape.outPixels(), shape.patch(),
      [=] QUANTO_DEVICE(int64_t item, int64_t channel, int64_t l) {
        return kernel.get((item % shape.groups * shape.outChannels + channel) * shape.patch() + l);
      },
      [=] QUANTO_DEVICE(int64_t item, int64_t l, int64_t pixel) {
        const int64_t place = shape.inputPlace(l, pixel);
        return place < 0 ? 0.0f : source.get(item * shape.inChannels * shape.pixels() + place);
      },
      [=] QUANTO_DEVICE(int64_t item, int64_t channel, int64_t pixel, float sum) {
        const auto of = finish.channel<float>(item % shape.groups * shape.outChannels + channel);
        finish.store(of, (item * shape.outChannels + channel) * shape.outPixels() + pixel, sum);
      });
  return issue.finish();
}

}  // namespace

Status conv2d(Queue* queue, const View* src, const View* weight, const View* bias, const View* out, const Window* window) {
  return convolve(queue, *src, *weight, ConvFinish(bias, *out), *out, *window);
}

Status conv2dFused(Queue* queue, const View* src, const View* weight, const View* bias, const View* normScale, const View* normShift,
                   const View* addend, const View* out, const Window* window, int32_t activation) {
  ConvFinish finish(bias, *out);
  finish.takeSteps(normScale, normShift, addend, activation);
  return convolve(queue, *src, *weight, finish, *out, *window);
}

Status conv2dBackwardInput(Queue* queue, const View* dout, const View* weight, const View* dsrc, const Window* window) {
  Issue issue(queue);
  const ConvShape shape(*dsrc, *dout, *window);
  const Operand slopes(*dout), kernel(*weight), target(*dsrc);
  multiply(
      issue, shape.images * shape.groups, shape.inChannels, shape.pixels(), shape.outChannels * shape.taps(),
      [=] QUANTO_DEVICE(int64_t item, int64_t channel, int64_t l) {
        const int64_t outChannel = item % shape.groups * shape.outChannels + l / shape.taps();
        return kernel.get((outChannel * shape.inChannels + channel) * shape.taps() + l % shape.taps());
      },
      [=] QUANTO_DEVICE(int64_t item, int64_t l, int64_t pixel) {
        const int64_t place = shape.outputPlace(l % shape.taps(), pixel);
        return place < 0 ? 0.0f : slopes.get((item * shape.outChannels + l / shape.taps()) * shape.outPixels() + place);
      },
      [=] QUANTO_DEVICE(int64_t item, int64_t channel, int64_t pixel, float sum) {
        target.set((item * shape.inChannels + channel) * shape.pixels() + pixel, sum);
      });
  return issue.finish();
}

Status conv2dBackwardWeight(Queue* queue, const View* dout, const View* src, const View* dweight, const Window* window) {
  Issue issue(queue);
  const ConvShape shape(*src, *dout, *window);
  const Operand slopes(*dout), source(*src), target(*dweight);
  multiply(
      issue, shape.groups, shape.outChannels, shape.patch(), shape.images * shape.outPixels(),
      [=] QUANTO_DEVICE(int64_t group, int64_t channel, int64_t l) {
        const int64_t image = l / shape.outPixels(), pixel = l % shape.outPixels();
        return slopes.get(((image * shape.groups + group) * shape.outChannels + channel) * shape.outPixels() + pixel);
      },
      [=] QUANTO_DEVICE(int64_t group, int64_t l, int64_t row) {
        const int64_t image = l / shape.outPixels(), place = shape.inputPlace(row, l % shape.outPixels());
        return place < 0 ? 0.0f : source.get((image * shape.groups + group) * shape.inChannels * shape.pixels() + place);
      },
      [=] QUANTO_DEVICE(int64_t group, int64_t channel, int64_t row, float sum) {
        target.set((group * shape.outChannels + channel) * shape.patch() + row, sum);
      });
  return issue.finish();
}

}  // namespace quanto::cuda
