// Pools: a thread for each value of the result, forward and backward, so that sums come in one order.
#include "backend.h"
#include "loops.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

struct Extent {
  int64_t height, width;
  explicit Extent(const View& view) : height(view.shape[view.ndim - 2]), width(view.shape[view.ndim - 1]) {}
  QUANTO_DEVICE int64_t size() const { return height * width; }
};

struct Range {
  int64_t begin, end;
  QUANTO_DEVICE int64_t size() const { return end - begin; }
  QUANTO_DEVICE bool has(int64_t position) const { return position >= begin && position < end; }
};

// The rectangle that an output position averages, and what the sum is divided by.
struct Region {
  Range rows, columns;
  int64_t divisor;
};

QUANTO_DEVICE inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
QUANTO_DEVICE inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

struct WindowRegions {
  Window window;
  bool countIncludePad;

  // Positions inside of one dim; `padded` counts those in the padding too.
  QUANTO_DEVICE Range cut(int dim, int64_t position, int64_t size, int64_t& padded) const {
    const int64_t begin = position * window.stride[dim] - window.padding[dim];
    const int64_t end = least(begin + window.kernel[dim], size + window.padding[dim]);
    padded = end - begin;
    return {most(begin, 0), least(end, size)};
  }
  QUANTO_DEVICE Region of(int64_t y, int64_t x, const Extent& in, const Extent&) const {
    int64_t paddedRows, paddedColumns;
    const Range rows = cut(0, y, in.height, paddedRows), columns = cut(1, x, in.width, paddedColumns);
    return {rows, columns, countIncludePad ? paddedRows * paddedColumns : rows.size() * columns.size()};
  }
};

// As PyTorch cuts a dim of `size` into `pieces` that may overlap: from floor(i size / pieces) to ceil((i + 1) size / pieces).
struct AdaptiveRegions {
  QUANTO_DEVICE static Range cut(int64_t position, int64_t size, int64_t pieces) {
    return {position * size / pieces, ((position + 1) * size + pieces - 1) / pieces};
  }
  QUANTO_DEVICE Region of(int64_t y, int64_t x, const Extent& in, const Extent& to) const {
    const Range rows = cut(y, in.height, to.height), columns = cut(x, in.width, to.width);
    return {rows, columns, rows.size() * columns.size()};
  }
};

template <class Regions>
Status average(Queue* queue, const View& src, const View& out, const Regions& regions) {
  Issue issue(queue);
  const Extent in(src), to(out);
  const Operand source(src), target(out);
  issue.forEach(elementCount(out), [=] QUANTO_DEVICE(int64_t i) {
    const int64_t plane = i / to.size(), y = i % to.size() / to.width, x = i % to.width;
    const Region region = regions.of(y, x, in, to);
    double sum = 0;
    for (int64_t row = region.rows.begin; row < region.rows.end; ++row) {
      for (int64_t column = region.columns.begin; column < region.columns.end; ++column)
        sum += source.get(plane * in.size() + row * in.width + column);
    }
    target.set(i, static_cast<float>(sum / static_cast<double>(region.divisor)));
  });
  return issue.finish();
}

// The reverse: each input position collects its share of every rectangle that it lies in.
template <class Regions>
Status spread(Queue* queue, const View& dout, const View& dsrc, const Regions& regions) {
  Issue issue(queue);
  const Extent in(dsrc), to(dout);
  const Operand slopes(dout), target(dsrc);
  issue.forEach(elementCount(dsrc), [=] QUANTO_DEVICE(int64_t i) {
    const int64_t plane = i / in.size(), row = i % in.size() / in.width, column = i % in.width;
    float sum = 0;
    for (int64_t y = 0; y < to.height; ++y) {
      if (!regions.of(y, 0, in, to).rows.has(row)) continue;
      for (int64_t x = 0; x < to.width; ++x) {
        const Region region = regions.of(y, x, in, to);
        if (region.columns.has(column)) sum += slopes.get(plane * to.size() + y * to.width + x) / static_cast<float>(region.divisor);
      }
    }
    target.set(i, sum);
  });
  return issue.finish();
}

// First position inside the input of a dilated window.
QUANTO_DEVICE inline int64_t firstInside(int64_t begin, int64_t dilation) {
  return begin < 0 ? begin + (-begin + dilation - 1) / dilation * dilation : begin;
}

}  // namespace

Status maxPool2d(Queue* queue, const View* src, const View* out, const View* indices, const Window* given) {
  Issue issue(queue);
  const Extent in(*src), to(*out);
  const Operand source(*src), target(*out);
  const Window window = *given;
  auto* positions = indices ? static_cast<int64_t*>(indices->data) : nullptr;
  issue.forEach(elementCount(*out), [=] QUANTO_DEVICE(int64_t i) {
    const int64_t plane = i / to.size(), y = i % to.size() / to.width, x = i % to.width;
    const int64_t top = y * window.stride[0] - window.padding[0], left = x * window.stride[1] - window.padding[1];
    const int64_t bottom = least(top + (window.kernel[0] - 1) * window.dilation[0], in.height - 1);
    const int64_t right = least(left + (window.kernel[1] - 1) * window.dilation[1], in.width - 1);
    const int64_t firstRow = firstInside(top, window.dilation[0]), firstColumn = firstInside(left, window.dilation[1]);
    int64_t found = firstRow * in.width + firstColumn;
    float largest = -infinity();
    for (int64_t row = firstRow; row <= bottom; row += window.dilation[0]) {
      for (int64_t column = firstColumn; column <= right; column += window.dilation[1]) {
        const float value = source.get(plane * in.size() + row * in.width + column);
        if (value > largest || value != value) {
          largest = value;
          found = row * in.width + column;
        }
      }
    }
    target.set(i, largest);
    if (positions) positions[i] = found;
  });
  return issue.finish();
}

Status maxPool2dBackward(Queue* queue, const View* dout, const View* indices, const View* dsrc) {
  Issue issue(queue);
  int* flag = issue.indexFlag();
  const Extent in(*dsrc), to(*dout);
  const Operand slopes(*dout), target(*dsrc);
  const auto* positions = static_cast<const int64_t*>(indices->data);
  const int64_t planes = elementCount(*dsrc) == 0 ? 0 : elementCount(*dsrc) / (in.height * in.width);
  auto* sums = issue.scratch<float>(Scratch::sums, elementCount(*dsrc));
  issue.forEach(elementCount(*dsrc), [=] QUANTO_DEVICE(int64_t i) { sums[i] = 0; });
  // A thread for each plane, in the order of its outputs.
  issue.forEach(planes, [=] QUANTO_DEVICE(int64_t plane) {
    for (int64_t i = 0; i < to.size(); ++i) {
      const int64_t place = positions[plane * to.size() + i];
      if (place >= 0 && place < in.size()) sums[plane * in.size() + place] += slopes.get(plane * to.size() + i);
      else atomicOr(flag, 1);
    }
  });
  issue.forEach(elementCount(*dsrc), [=] QUANTO_DEVICE(int64_t i) { target.set(i, sums[i]); });
  return issue.finishIndices();
}

Status avgPool2d(Queue* queue, const View* src, const View* out, const Window* window, int32_t countIncludePad) {
  return average(queue, *src, *out, WindowRegions{*window, countIncludePad != 0});
}

Status avgPool2dBackward(Queue* queue, const View* dout, const View* dsrc, const Window* window, int32_t countIncludePad) {
  return spread(queue, *dout, *dsrc, WindowRegions{*window, countIncludePad != 0});
}

Status adaptiveAvgPool2d(Queue* queue, const View* src, const View* out) { return average(queue, *src, *out, AdaptiveRegions{}); }

Status adaptiveAvgPool2dBackward(Queue* queue, const View* dout, const View* dsrc) {
  return spread(queue, *dout, *dsrc, AdaptiveRegions{});
}

}  // namespace quanto::cuda
