// What one instruction set provides to the direct convolution of conv_direct.cpp. Plain structs and the C library's integer types only:
// files compiled for one instruction set include this header and no C++ library header.
//
// Images come as elements of 4 bytes: a float32 value, or as many codes of neighbouring channels (or taps) as one multiply-add
// instruction takes. A group is one element of each pixel's patch and the weights that multiply it. Weights lie in panels,
// [groups][kConvPanel] for each kConvPanel channels, or, of one value an element, also in rows, [channels][groups].
#pragma once

#include <stdint.h>

namespace quanto::cpu {

// Output channels of a panel of weights.
constexpr int kConvPanel = 8;

// Pixels of the output, one for each lane of a vector: side by side in a row; or, where rows are short, those of two rows, one in each half
// of the lanes.
struct PixelVector {
  const uint32_t* source;  // of the first pixel's first tap; all lanes can be read
  const uint32_t* second;  // of the second half, where halved
  int32_t place;           // of the first pixel, in the output plane; a second row follows on the first
  int32_t count;           // of the pixels that exist in each row
  int32_t rows;            // 1 or 2
};

// What becomes of finished sums, in this order; each step rounds once, and null leaves it out.
struct ConvFinish {
  const float* scale;      // sum * scale[channel], of integer sums
  const float* bias;       // + bias[channel]
  const float* normScale;  // * normScale[channel] + normShift[channel]: a batch norm
  const float* normShift;
  const float* addend;  // + a value for each output; planes [channel][addendStride]
  int64_t addendStride;
  int32_t relu;
  float* out;     // both planes [channel][planeStride]; one of the two is null
  int8_t* codes;  // clamp(roundHalfEven(value / codeScale))
  float codeScale;
  int64_t planeStride;
};

struct ConvTile {
  int64_t groups;
  const int64_t* offsets;              // of each group's element from a vector's source
  const uint32_t* weights;             // of the first channel
  int64_t channelStride, groupStride;  // of the weights; of several values an element they are in panels, and these are not read
  const int32_t* start;                // null, or what the integer sums of each channel start with
  const PixelVector* pixels;
  bool halved;
  int64_t channel;  // the first one's place in the arrays and planes of ConvFinish
};

// A padded row of an image, cut into one part for each phase of the stride: part[i] is position i * stride + part of the padded row.
struct RowPlacement {
  int64_t width, padding;  // of the row
  int64_t stride, parts, pitch;
  uint32_t zero;
};

struct ConvKernel {
  const char* name;
  int lanes, rows, vectors;  // of the largest tile: channels (kConvPanel is a multiple) by vectors of pixels
  int perElement;            // values in an element: 1 (float32), 2 (int16) or 4 (uint8, each code + 128)

  // 1 <= rows <= this->rows, 1 <= vectors <= this->vectors.
  void (*tile)(int rows, int vectors, const ConvTile& tile, const ConvFinish& finish);
  // Elements of n pixels (of kernels with several values in an element) from `count` rows of floats to be quantized, or of codes; values
  // past `count` are of code 0.
  void (*encode)(int count, const float* const* rows, float scale, int64_t n, uint32_t* out);
  void (*join)(int count, const int8_t* const* rows, int64_t n, uint32_t* out);
  // Of kernels of one value an element: the first `count` codes of each of n elements of four, times the scale of the element's channel in
  // the panel, as floats; code c goes to out + c * n. n is a multiple of kConvPanel, scale has so many.
  void (*widen)(int count, int64_t n, const uint32_t* elements, const float* scale, float* out);
  // `count` rows, one after the other on both sides; `rows` is null for rows of padding. Writes up to a vector past the end: rows are
  // placed in the order of their addresses.
  void (*place)(const RowPlacement& at, int64_t count, const uint32_t* rows, uint32_t* out);
};

extern const ConvKernel kConvFloatAvx512, kConvFloatAvx2, kConvFloatRef;
extern const ConvKernel kConvInt8Vnni, kConvInt8Avxvnni, kConvInt8Avx2, kConvInt8Ref;

// The best that this machine and QUANTO_ISA allow.
const ConvKernel& convFloatKernel();
const ConvKernel& convInt8Kernel();

}  // namespace quanto::cpu
