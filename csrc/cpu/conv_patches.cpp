#include "conv_patches.h"

#include <algorithm>
#include <cstring>

#include "elements.h"
#include "gemm/workspace.h"
#include "row_loops.h"
#include "scratch.h"

namespace quanto::cpu {
namespace {

// Elements of a band's patches that leave the second-level cache room for the weights.
constexpr int64_t kBandElements = 1 << 17;

// The most codes of a row that a kernel takes at a time.
constexpr int64_t kJoined = 16;

int64_t divideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

void copyElements(const uint32_t* from, int64_t stride, int64_t n, uint32_t* to) {
  if (stride != 1) {
    for (int64_t i = 0; i < n; ++i) to[i] = from[i * stride];
  } else if (n % 8 == 0 && n <= 64) {
    // Short rows are not worth a call.
    for (int64_t i = 0; i < n; i += 8) std::memcpy(to + i, from + i, 8 * sizeof(uint32_t));
  } else {
    std::memcpy(to, from, n * sizeof(uint32_t));
  }
}

}  // namespace

bool canPad(const ConvShape& shape) {
  const Window& w = shape.window;
  const auto fits = [&](int dim, int64_t size) {
    return (w.kernel[dim] - 1) * w.dilation[dim] <= 2 * size + 64 && w.padding[dim] <= 2 * size + 64 && w.stride[dim] <= 16;
  };
  return fits(0, shape.height) && fits(1, shape.width);
}

PatchPlan::PatchPlan(const DirectConv& conv) : conv_(conv), shape_(conv.shape), byTaps_(conv.byTaps()) {
  const Window& w = shape_.window;
  // What a row would be without vectors shared by two: it is as narrow as half a vector at most.
  halved_ = canPad(shape_) && 2 * shape_.outWidth <= conv.kernel.lanes && 8 * shape_.outWidth > 3 * conv.kernel.lanes - 1;
  const int64_t padded = roundUp(shape_.outWidth, halved_ ? conv.kernel.lanes / 2 : conv.kernel.lanes);
  unrolled_ = !byTaps_ && (!canPad(shape_) || 4 * shape_.outWidth < 3 * padded);
  blocks_ = conv.blocks();
  elements_ = conv.elements();
  zero_ = conv.kernel.perElement == 4 ? 0x80808080u : 0;
  slots_ = byTaps_ ? conv.columns() : std::min(w.stride[1], (w.kernel[1] - 1) * w.dilation[1] + 1);
  pitch_ = padded + (byTaps_ ? 0 : (w.kernel[1] - 1) * w.dilation[1] / w.stride[1]);
}

int64_t PatchPlan::paddedRows(int64_t rows) const {
  return (rows - 1) * shape_.window.stride[0] + (shape_.window.kernel[0] - 1) * shape_.window.dilation[0] + 1;
}

int64_t PatchPlan::bandRows(int64_t bands) const {
  const int64_t whole = divideUp(int64_t{conv_.kernel.vectors} * conv_.kernel.lanes, shape_.outWidth);
  const int64_t elements = unrolled_ ? elements_ * shape_.outWidth : blocks_ * shape_.window.stride[0] * rowElements();
  const int64_t cached = std::max(whole, kBandElements / std::max<int64_t>(1, elements));
  return std::min({cached, std::max(whole, divideUp(shape_.outHeight, bands)), shape_.outHeight});
}

bool PatchPlan::layOut(int64_t rows) {
  const Window& w = shape_.window;
  const int64_t lanes = conv_.kernel.lanes, columns = conv_.columns();
  if (unrolled_) {
    blockStride_ = roundUp(rows * shape_.outWidth, lanes);
    patchElements_ = elements_ * blockStride_;
    vectors_ = blockStride_ / lanes;
  } else {
    blockStride_ = paddedRows(rows) * rowElements();
    // Rows are written in whole vectors.
    patchElements_ = blocks_ * blockStride_ + lanes;
    vectors_ = halved_ ? divideUp(rows, 2) : rows * divideUp(shape_.outWidth, lanes);
  }
  // Codes go straight to their place where rows have a vector at least and the padded row holds all of one.
  straight_ = !byTaps_ && !unrolled_ && conv_.input != ConvInput::real && w.stride[1] == 1 && shape_.width >= kJoined &&
              w.padding[1] + shape_.width <= pitch_;
  const int64_t imageRows = std::min(shape_.height, paddedRows(rows));
  if (byTaps_) {
    // Bytes: a padded row of codes, and its subsamples for each tap of an element.
    const int64_t bytes = (shape_.outWidth - 1) * w.stride[1] + columns * conv_.kernel.perElement * w.dilation[1] + 1;
    encodedElements_ = divideUp(bytes + conv_.kernel.perElement * shape_.outWidth, sizeof(uint32_t));
  } else if (!straight_ && (conv_.input != ConvInput::real || dtypeOf(conv_.src) != DType::float32)) {
    encodedElements_ = blocks_ * imageRows * shape_.width;
  }

  thread_local ThreadBuffer memory;
  offsets_ = static_cast<int64_t*>(memory.get(elements_ * sizeof(int64_t)));
  if (!offsets_) return false;
  int64_t* next = offsets_;
  for (int64_t block = 0; block < blocks_; ++block) {
    for (int64_t ky = 0; ky < w.kernel[0]; ++ky) {
      for (int64_t kx = 0; kx < columns; ++kx, ++next) {
        if (unrolled_) {
          *next = (next - offsets_) * blockStride_;
          continue;
        }
        const int64_t row = block * blockStride_ + ky * w.dilation[0] * rowElements(), column = kx * w.dilation[1];
        if (byTaps_) *next = row + kx * pitch_;
        else *next = row + column % w.stride[1] * pitch_ + column / w.stride[1];
      }
    }
  }
  return true;
}

int64_t PatchPlan::listPixels(int64_t rows, const uint32_t* patches, PixelVector* out) const {
  const int64_t lanes = conv_.kernel.lanes, rowStride = shape_.window.stride[0] * rowElements(), width = shape_.outWidth;
  PixelVector* next = out;
  const auto add = [&](const uint32_t* source, const uint32_t* second, int64_t place, int64_t count) {
    *next++ = {source, second ? second : source, static_cast<int32_t>(place), static_cast<int32_t>(count), second ? 2 : 1};
  };
  if (unrolled_) {
    for (int64_t x = 0; x < rows * width; x += lanes) add(patches + x, nullptr, x, std::min(lanes, rows * width - x));
  } else if (halved_) {
    for (int64_t y = 0; y < rows; y += 2) {
      const uint32_t* source = patches + y * rowStride;
      add(source, y + 1 < rows ? source + rowStride : nullptr, y * width, width);
    }
  } else {
    for (int64_t y = 0; y < rows; ++y) {
      for (int64_t x = 0; x < width; x += lanes) add(patches + y * rowStride + x, nullptr, y * width + x, std::min(lanes, width - x));
    }
  }
  return next - out;
}

bool PatchPlan::isRead(int64_t paddedRow) const {
  const Window& w = shape_.window;
  if (w.stride[0] == 1) return true;
  for (int64_t ky = 0; ky < w.kernel[0] && ky * w.dilation[0] <= paddedRow; ++ky) {
    if ((paddedRow - ky * w.dilation[0]) % w.stride[0] == 0) return true;
  }
  return false;
}

PatchPlan::ImageRows PatchPlan::imageRows(int64_t firstRow, int64_t rows) const {
  const int64_t first = firstRow * shape_.window.stride[0] - shape_.window.padding[0];
  const int64_t begin = std::clamp<int64_t>(first, 0, shape_.height);
  return {begin, std::clamp<int64_t>(first + paddedRows(rows), begin, shape_.height)};
}

const void* PatchPlan::plane(int64_t image, int64_t channel) const {
  const int64_t place = (image * shape_.groups * shape_.inChannels + channel) * shape_.pixels();
  return static_cast<const char*>(conv_.src.data) + place * sizeOf(dtypeOf(conv_.src));
}

void PatchPlan::encodeBlock(int64_t image, int64_t group, int64_t block, PixelRows rows, uint32_t* out) const {
  const int perElement = conv_.kernel.perElement;
  const int64_t first = block * perElement, channel = group * shape_.inChannels + first;
  const int count = static_cast<int>(std::min<int64_t>(perElement, shape_.inChannels - first));
  // body() for each run of pixels, whose values of each channel the pointers show, and whose elements go to `out`.
  const auto forEachRun = [&]<class T>(const T*(&pointers)[4], auto&& body) {
    for (int i = 0; i < count; ++i) pointers[i] = static_cast<const T*>(plane(image, channel + i)) + rows.first;
    for (int64_t r = 0; r < rows.count; ++r, out += rows.stride) {
      body();
      for (int i = 0; i < count; ++i) pointers[i] += rows.length;
    }
  };
  if (conv_.input == ConvInput::quantized) {
    const float* pointers[4];
    forEachRun(pointers, [&] { conv_.kernel.encode(count, pointers, conv_.srcScale, rows.length, out); });
  } else if (conv_.input == ConvInput::codes) {
    const int8_t* pointers[4];
    forEachRun(pointers, [&] { conv_.kernel.join(count, pointers, rows.length, out); });
  } else {
    const DType dtype = dtypeOf(conv_.src);
    const char* from = static_cast<const char*>(plane(image, channel)) + rows.first * sizeOf(dtype);
    loadFunction<float>(dtype)(from, 1, rows.count * rows.length, reinterpret_cast<float*>(out));
  }
}

PatchPlan::Encoded PatchPlan::encode(int64_t image, int64_t group, ImageRows rows, uint32_t* buffer) const {
  const int64_t n = (rows.end - rows.begin) * shape_.width, skipped = rows.begin * shape_.width;
  if (conv_.input == ConvInput::real && dtypeOf(conv_.src) == DType::float32) {
    return {static_cast<const uint32_t*>(plane(image, group * shape_.inChannels)) + skipped, shape_.pixels()};
  }
  for (int64_t block = 0; block < blocks_; ++block) encodeBlock(image, group, block, {skipped, n, 1, n}, buffer + block * n);
  return {buffer, n};
}

RowPlacement PatchPlan::placement() const {
  return {shape_.width, shape_.window.padding[1], shape_.window.stride[1], slots_, pitch_, zero_};
}

void PatchPlan::pad(int64_t firstRow, int64_t rows, ImageRows have, Encoded from, uint32_t* patches) const {
  const int64_t top = firstRow * shape_.window.stride[0] - shape_.window.padding[0], count = paddedRows(rows);
  const RowPlacement at = placement();
  const auto exists = [&](int64_t r) { return top + r >= have.begin && top + r < have.end; };
  for (int64_t block = 0; block < blocks_; ++block) {
    const uint32_t* source = from.data + block * from.blockStride;
    uint32_t* out = patches + block * blockStride_;
    // Runs of rows that are read, either of the image or of padding.
    for (int64_t r = 0; r < count;) {
      const int64_t begin = r++;
      if (!isRead(begin)) continue;
      while (r < count && isRead(r) && exists(r) == exists(begin)) ++r;
      conv_.kernel.place(at, r - begin, exists(begin) ? source + (top + begin - have.begin) * shape_.width : nullptr,
                         out + begin * rowElements());
    }
  }
}

void PatchPlan::encodePadded(int64_t image, int64_t group, int64_t firstRow, int64_t rows, uint32_t* patches) const {
  const int64_t top = firstRow * shape_.window.stride[0] - shape_.window.padding[0], count = paddedRows(rows);
  const int64_t begin = std::clamp<int64_t>(-top, 0, count), end = std::clamp<int64_t>(shape_.height - top, begin, count);
  const RowPlacement at = placement();
  // Rows that no window reads are encoded too: hardly a kernel is shorter than its stride.
  for (int64_t block = 0; block < blocks_; ++block) {
    uint32_t* out = patches + block * blockStride_;
    conv_.kernel.place(at, count, nullptr, out);
    encodeBlock(image, group, block, {(top + begin) * shape_.width, shape_.width, end - begin, pitch_}, out + begin * pitch_ + at.padding);
  }
}

void PatchPlan::unroll(int64_t firstRow, int64_t rows, ImageRows have, Encoded from, uint32_t* patches) const {
  const Window& w = shape_.window;
  const int64_t pixels = rows * shape_.outWidth;
  for (int64_t block = 0; block < blocks_; ++block) {
    for (int64_t tap = 0; tap < shape_.taps(); ++tap, patches += blockStride_) {
      int64_t written = 0;
      const auto rowsOfTap = [&](auto&& body) {
        forEachTapRow(shape_, tap / w.kernel[1], tap % w.kernel[1], firstRow, firstRow + rows, body);
      };
      rowsOfTap([&](int64_t, int64_t, int64_t n, int64_t, int64_t) { written += n; });
      if (written < pixels) std::fill(patches, patches + pixels, zero_);
      std::fill(patches + pixels, patches + blockStride_, zero_);
      rowsOfTap([&](int64_t y, int64_t x, int64_t n, int64_t inputY, int64_t inputX) {
        const uint32_t* row = from.data + block * from.blockStride + (inputY - have.begin) * shape_.width;
        copyElements(row + inputX, w.stride[1], n, patches + (y - firstRow) * shape_.outWidth + x);
      });
    }
  }
}

void PatchPlan::padTaps(int64_t image, int64_t group, int64_t firstRow, int64_t rows, int8_t* codes, uint32_t* patches) const {
  const Window& w = shape_.window;
  const int perElement = conv_.kernel.perElement;
  const int64_t width = shape_.outWidth, bytes = (width - 1) * w.stride[1] + conv_.columns() * perElement * w.dilation[1] + 1;
  const int64_t have = std::clamp<int64_t>(bytes - w.padding[1], 0, shape_.width);
  const int64_t top = firstRow * w.stride[0] - w.padding[0];
  const void* source = plane(image, group);
  std::memset(codes, 0, bytes);
  int8_t* inside = codes + std::min(w.padding[1], bytes);
  int8_t* subsamples = codes + bytes;
  for (int64_t r = 0; r < paddedRows(rows); ++r) {
    if (!isRead(r)) continue;
    const int64_t row = top + r;
    uint32_t* out = patches + r * rowElements();
    if (row < 0 || row >= shape_.height) {
      std::fill(out, out + rowElements(), zero_);
      continue;
    }
    if (conv_.input == ConvInput::codes) std::memcpy(inside, static_cast<const int8_t*>(source) + row * shape_.width, have);
    else rowLoops().quantizeInt8(static_cast<const float*>(source) + row * shape_.width, &conv_.srcScale, 0, inside, have);
    for (int64_t column = 0; column < slots_; ++column, out += pitch_) {
      const int8_t* taps[4];
      for (int t = 0; t < perElement; ++t) {
        taps[t] = codes + (column * perElement + t) * w.dilation[1];
        if (w.stride[1] == 1) continue;
        for (int64_t x = 0; x < width; ++x) subsamples[t * width + x] = taps[t][x * w.stride[1]];
        taps[t] = subsamples + t * width;
      }
      conv_.kernel.join(perElement, taps, width, out);
      std::fill(out + width, out + pitch_, zero_);
    }
  }
}

void PatchPlan::fill(int64_t image, int64_t group, int64_t firstRow, int64_t rows, uint32_t* encoded, uint32_t* patches) const {
  if (byTaps_) {
    padTaps(image, group, firstRow, rows, reinterpret_cast<int8_t*>(encoded), patches);
    return;
  }
  if (straight_) {
    encodePadded(image, group, firstRow, rows, patches);
    return;
  }
  const ImageRows have = imageRows(firstRow, rows);
  const Encoded from = encode(image, group, have, encoded);
  if (unrolled_) unroll(firstRow, rows, have, from, patches);
  else pad(firstRow, rows, have, from, patches);
}

}  // namespace quanto::cpu
