#include <limits>

#include "kernels.h"
#include "planes.h"

namespace quanto::cpu {
namespace {

// Positions [begin, end) of one dim that an output position covers.
struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// Without dilation: clipped to the input, and to the input with its padding.
struct PoolRange {
  Range inside;
  int64_t padded;  // positions with padding counted

  PoolRange(const Window& window, int dim, int64_t position, int64_t size) {
    const int64_t begin = position * window.stride[dim] - window.padding[dim];
    const int64_t end = std::min(begin + window.kernel[dim], size + window.padding[dim]);
    padded = end - begin;
    inside = {std::max<int64_t>(begin, 0), std::min(end, size)};
  }
};

// As PyTorch cuts a dim of `size` into `pieces` that may overlap: from floor(i size / pieces) to ceil((i + 1) size / pieces).
Range adaptiveRange(int64_t position, int64_t size, int64_t pieces) {
  return {position * size / pieces, ((position + 1) * size + pieces - 1) / pieces};
}

struct Extent {
  int64_t height, width;
  explicit Extent(const View& view) : height(view.shape[view.ndim - 2]), width(view.shape[view.ndim - 1]) {}
};

// Averages rectangles of each plane; region(y, x) says which, and divides by its last member.
struct Region {
  Range rows, columns;
  int64_t divisor;
};

template <class RegionOf>
Status average(const View& src, const View& out, RegionOf&& regionOf) {
  const Extent in(src), to(out);
  const PlaneReader planes(src);
  const PlaneWriter results(out);
  const int64_t count = results.size() == 0 ? 0 : elementCount(out) / results.size();
  return forEachPlane(count, planes.size() + results.size(), planes.size() + results.size(), [&](int64_t index, float* buffer) {
    const float* plane = planes.read(index, buffer);
    float* target = results.target(index, buffer + planes.size());
    for (int64_t y = 0; y < to.height; ++y) {
      for (int64_t x = 0; x < to.width; ++x) {
        const Region region = regionOf(y, x, in, to);
        double sum = 0;
        for (int64_t row = region.rows.begin; row < region.rows.end; ++row) {
          for (int64_t column = region.columns.begin; column < region.columns.end; ++column) sum += plane[row * in.width + column];
        }
        target[y * to.width + x] = static_cast<float>(sum / static_cast<double>(region.divisor));
      }
    }
    results.write(index, target);
  });
}

// The reverse: each output's gradient is spread evenly over its rectangle.
template <class RegionOf>
Status spread(const View& dout, const View& dsrc, RegionOf&& regionOf) {
  const Extent in(dsrc), to(dout);
  const PlaneReader slopes(dout);
  const PlaneWriter results(dsrc);
  const int64_t count = results.size() == 0 ? 0 : elementCount(dsrc) / results.size();
  return forEachPlane(count, slopes.size() + results.size(), slopes.size() + results.size(), [&](int64_t index, float* buffer) {
    const float* slope = slopes.read(index, buffer);
    float* target = results.target(index, buffer + slopes.size());
    std::fill_n(target, results.size(), 0.0f);
    for (int64_t y = 0; y < to.height; ++y) {
      for (int64_t x = 0; x < to.width; ++x) {
        const Region region = regionOf(y, x, in, to);
        const float share = slope[y * to.width + x] / static_cast<float>(region.divisor);
        for (int64_t row = region.rows.begin; row < region.rows.end; ++row) {
          for (int64_t column = region.columns.begin; column < region.columns.end; ++column) target[row * in.width + column] += share;
        }
      }
    }
    results.write(index, target);
  });
}

auto windowRegion(const Window& window, bool countIncludePad) {
  return [&window, countIncludePad](int64_t y, int64_t x, const Extent& in, const Extent&) {
    const PoolRange rows(window, 0, y, in.height), columns(window, 1, x, in.width);
    const int64_t inside = rows.inside.size() * columns.inside.size();
    return Region{rows.inside, columns.inside, countIncludePad ? rows.padded * columns.padded : inside};
  };
}

Region adaptiveRegion(int64_t y, int64_t x, const Extent& in, const Extent& to) {
  const Range rows = adaptiveRange(y, in.height, to.height), columns = adaptiveRange(x, in.width, to.width);
  return {rows, columns, rows.size() * columns.size()};
}

// First position inside the input of a dilated window.
int64_t firstInside(int64_t begin, int64_t dilation) { return begin < 0 ? begin + (-begin + dilation - 1) / dilation * dilation : begin; }

}  // namespace

Status maxPool2d(Queue*, const View* src, const View* out, const View* indices, const Window* window) {
  const Extent in(*src), to(*out);
  const PlaneReader planes(*src);
  const PlaneWriter results(*out);
  auto* positions = indices ? static_cast<int64_t*>(indices->data) : nullptr;
  const int64_t count = results.size() == 0 ? 0 : elementCount(*out) / results.size();
  const int64_t work = results.size() * window->kernel[0] * window->kernel[1];
  return forEachPlane(count, work, planes.size() + results.size(), [&](int64_t index, float* buffer) {
    const float* plane = planes.read(index, buffer);
    float* target = results.target(index, buffer + planes.size());
    for (int64_t y = 0; y < to.height; ++y) {
      const int64_t top = y * window->stride[0] - window->padding[0], bottom = top + (window->kernel[0] - 1) * window->dilation[0];
      const int64_t firstRow = firstInside(top, window->dilation[0]), lastRow = std::min(bottom, in.height - 1);
      for (int64_t x = 0; x < to.width; ++x) {
        const int64_t left = x * window->stride[1] - window->padding[1], right = left + (window->kernel[1] - 1) * window->dilation[1];
        const int64_t firstColumn = firstInside(left, window->dilation[1]), lastColumn = std::min(right, in.width - 1);
        int64_t found = firstRow * in.width + firstColumn;
        float largest = -std::numeric_limits<float>::infinity();
        for (int64_t row = firstRow; row <= lastRow; row += window->dilation[0]) {
          for (int64_t column = firstColumn; column <= lastColumn; column += window->dilation[1]) {
            const float value = plane[row * in.width + column];
            if (value > largest || value != value) {
              largest = value;
              found = row * in.width + column;
            }
          }
        }
        target[y * to.width + x] = largest;
        if (positions) positions[index * results.size() + y * to.width + x] = found;
      }
    }
    results.write(index, target);
  });
}

Status maxPool2dBackward(Queue*, const View* dout, const View* indices, const View* dsrc) {
  const PlaneReader slopes(*dout);
  const PlaneWriter results(*dsrc);
  const auto* positions = static_cast<const int64_t*>(indices->data);
  const int64_t count = results.size() == 0 ? 0 : elementCount(*dsrc) / results.size();
  std::atomic<bool> outOfRange{false};
  const Status status =
      forEachPlane(count, slopes.size() + results.size(), slopes.size() + results.size(), [&](int64_t index, float* buffer) {
        const float* slope = slopes.read(index, buffer);
        float* target = results.target(index, buffer + slopes.size());
        std::fill_n(target, results.size(), 0.0f);
        for (int64_t i = 0; i < slopes.size(); ++i) {
          const int64_t place = positions[index * slopes.size() + i];
          if (place >= 0 && place < results.size()) target[place] += slope[i];
          else outOfRange = true;
        }
        results.write(index, target);
      });
  return outOfRange ? Status::indexOutOfRange : status;
}

Status avgPool2d(Queue*, const View* src, const View* out, const Window* window, int32_t countIncludePad) {
  return average(*src, *out, windowRegion(*window, countIncludePad));
}

Status avgPool2dBackward(Queue*, const View* dout, const View* dsrc, const Window* window, int32_t countIncludePad) {
  return spread(*dout, *dsrc, windowRegion(*window, countIncludePad));
}

Status adaptiveAvgPool2d(Queue*, const View* src, const View* out) { return average(*src, *out, adaptiveRegion); }

Status adaptiveAvgPool2dBackward(Queue*, const View* dout, const View* dsrc) { return spread(*dout, *dsrc, adaptiveRegion); }

}  // namespace quanto::cpu
