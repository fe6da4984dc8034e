// The packed form of a convolution's int8 weight [O, C, kh, kw], one for all instruction sets:
//
// roundUp(O, 8) int32 sums over each output channel; then ceil(O / 8) panels of [ceil(C / 4)][taps][8 output channels][4 channels], zero
// padded: what a dot product of four bytes multiplies one element of an image with (conv_kernel.h). The sums undo the +128 that unsigned x
// signed instructions need on the other operand.
#pragma once

#include <cstdint>

#include "conv_direct.h"

namespace quanto::cpu {

int64_t packedConvSize(int64_t outChannels, int64_t inChannels, int64_t taps);
void packConv(int64_t outChannels, int64_t inChannels, int64_t taps, const int8_t* codes, void* packed);
void unpackConv(int64_t outChannels, int64_t inChannels, int64_t taps, const void* packed, int8_t* codes);

// From a real weight, or from int8 codes, row-major or packed, each times the scale of its output channel, for a kernel of one value an
// element. `scale` is null for a real weight, and has zeros up to whole panels.
ConvWeights floatConvWeights(const DirectConv& conv, const View& weight, const float* scale);
// From int8 codes, row-major or packed, for an integer kernel.
ConvWeights int8ConvWeights(const DirectConv& conv, const View& weight);
// One of the panels of packed codes as floats, or all of them.
void widenPanel(const DirectConv& conv, const PackedCodes& codes, int64_t panel, float* out);
ConvWeights widenPanels(const DirectConv& conv, const PackedCodes& codes);
// Codes, row-major or packed, as row-major floats; null when out of memory.
const float* dequantizeConv(const ConvShape& shape, const View& weight, const float* scale);

}  // namespace quanto::cpu
