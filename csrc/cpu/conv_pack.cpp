#include "conv_pack.h"

#include <cstring>

#include "elements.h"
#include "gemm/workspace.h"
#include "loops.h"
#include "scratch.h"

namespace quanto::cpu {
namespace {

constexpr int64_t kBytes = 4;  // codes in an element of the packed form

int64_t headerBytes(int64_t outChannels) { return roundUp(outChannels, kConvPanel) * static_cast<int64_t>(sizeof(int32_t)); }
int64_t blocksOf(int64_t inChannels) { return (inChannels + kBytes - 1) / kBytes; }
// From a tap to the next one, and the first tap of a channel within the codes of an output channel.
constexpr int64_t kTapBytes = kConvPanel * kBytes;
int64_t placeOf(int64_t channel, int64_t taps) { return channel / kBytes * taps * kTapBytes + channel % kBytes; }
int64_t panelBytes(int64_t inChannels, int64_t taps) { return blocksOf(inChannels) * taps * kTapBytes; }

// body(begin, end) over panels, by threads where there are many weights.
template <class Body>
void forEachPanels(int64_t outChannels, int64_t weights, Body&& body) {
  const int64_t panels = convPanels(outChannels);
  parallelFor(panels, std::max<int64_t>(1, kCheapGrain * panels / std::max<int64_t>(1, weights)), body);
}

// Codes of one output channel as elements, `stride` apart, of the kernel's own kind.
void layOutChannel(const DirectConv& conv, const int8_t* codes, uint32_t* out) {
  const ConvShape& shape = conv.shape;
  const int perElement = conv.kernel.perElement;
  const int64_t taps = shape.taps(), width = shape.window.kernel[1], columns = conv.columns();
  const bool byTaps = conv.byTaps();
  for (int64_t block = 0; block < conv.blocks(); ++block) {
    for (int64_t ky = 0; ky < shape.window.kernel[0]; ++ky) {
      for (int64_t column = 0; column < columns; ++column, out += kConvPanel) {
        uint32_t element = 0;
        for (int i = 0; i < perElement; ++i) {
          const int64_t channel = byTaps ? 0 : block * perElement + i, kx = byTaps ? column * perElement + i : column;
          if (channel >= shape.inChannels || kx >= width) continue;
          const int32_t code = codes[channel * taps + ky * width + kx];
          element |= perElement == 4 ? static_cast<uint32_t>(code & 0xff) << (8 * i) : static_cast<uint32_t>(code & 0xffff) << (16 * i);
        }
        *out = element;
      }
    }
  }
}

// An element of four codes as two of two: the first and the second pair of channels, each code widened to 16 bits.
void splitElements(const uint32_t* elements, int64_t count, uint32_t* first, uint32_t* second) {
  const auto pair = [](uint32_t low, uint32_t high) {  // each code in the highest byte
    return static_cast<uint32_t>(static_cast<int32_t>(low) >> 24 & 0xffff) | static_cast<uint32_t>(static_cast<int32_t>(high) >> 24 << 16);
  };
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) first[i] = pair(elements[i] << 24, elements[i] << 16);
  if (!second) return;
  QUANTO_VECTORIZE
  for (int64_t i = 0; i < count; ++i) second[i] = pair(elements[i] << 8, elements[i]);
}

// Packed panels in elements of two codes.
void splitPanels(const DirectConv& conv, const int8_t* panels, uint32_t* out) {
  const int64_t channels = conv.shape.groups * conv.shape.outChannels, inChannels = conv.shape.inChannels, taps = conv.shape.taps();
  const int64_t blocks = conv.blocks(), blockElements = taps * kConvPanel;
  forEachPanels(channels, channels * conv.shape.patch(), [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      const auto* from = reinterpret_cast<const uint32_t*>(panels + panel * panelBytes(inChannels, taps));
      uint32_t* to = out + panel * blocks * blockElements;
      for (int64_t block = 0; block < blocks; block += 2, from += blockElements, to += 2 * blockElements)
        splitElements(from, blockElements, to, block + 1 < blocks ? to + blockElements : nullptr);
    }
  });
}

int32_t startOf(const int8_t* codes, int64_t count) {
  int32_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += codes[i];
  return -128 * sum;
}

}  // namespace

int64_t packedConvSize(int64_t outChannels, int64_t inChannels, int64_t taps) {
  return headerBytes(outChannels) + convPanels(outChannels) * panelBytes(inChannels, taps);
}

void packConv(int64_t outChannels, int64_t inChannels, int64_t taps, const int8_t* codes, void* packed) {
  auto* sums = static_cast<int32_t*>(packed);
  auto* panels = static_cast<int8_t*>(packed) + headerBytes(outChannels);
  forEachPanels(outChannels, outChannels * inChannels * taps, [&](int64_t begin, int64_t end) {
    std::memset(panels + begin * panelBytes(inChannels, taps), 0, (end - begin) * panelBytes(inChannels, taps));
    for (int64_t o = begin * kConvPanel; o < end * kConvPanel; ++o) {
      sums[o] = 0;
      if (o >= outChannels) continue;
      int8_t* out = panels + o / kConvPanel * panelBytes(inChannels, taps) + o % kConvPanel * kBytes;
      const int8_t* from = codes + o * inChannels * taps;
      for (int64_t channel = 0; channel < inChannels; ++channel) {
        int8_t* target = out + placeOf(channel, taps);
        for (int64_t tap = 0; tap < taps; ++tap) {
          target[tap * kTapBytes] = *from;
          sums[o] += *from++;
        }
      }
    }
  });
}

void unpackConv(int64_t outChannels, int64_t inChannels, int64_t taps, const void* packed, int8_t* codes) {
  const auto* panels = static_cast<const int8_t*>(packed) + headerBytes(outChannels);
  forEachPanels(outChannels, outChannels * inChannels * taps, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin * kConvPanel; o < std::min(outChannels, end * kConvPanel); ++o) {
      const int8_t* from = panels + o / kConvPanel * panelBytes(inChannels, taps) + o % kConvPanel * kBytes;
      int8_t* to = codes + o * inChannels * taps;
      for (int64_t channel = 0; channel < inChannels; ++channel) {
        const int8_t* source = from + placeOf(channel, taps);
        for (int64_t tap = 0; tap < taps; ++tap) *to++ = source[tap * kTapBytes];
      }
    }
  });
}

const float* dequantizeConv(const ConvShape& shape, const View& weight, const float* scale) {
  const int64_t channels = shape.groups * shape.outChannels, patch = shape.patch();
  const bool packed = weight.layout == Layout::packed;
  BufferPlan plan;
  const int64_t atFloats = plan.add(channels * patch * sizeof(float)), atCodes = plan.add(packed ? channels * patch : 0);
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return nullptr;
  auto* out = reinterpret_cast<float*>(base + atFloats);
  const auto* codes = static_cast<const int8_t*>(weight.data);
  if (packed) {
    auto* rows = reinterpret_cast<int8_t*>(base + atCodes);
    unpackConv(channels, shape.inChannels, shape.taps(), weight.data, rows);
    codes = rows;
  }
  forEachPanels(channels, channels * patch, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin * kConvPanel; o < std::min(channels, end * kConvPanel); ++o) {
      for (int64_t i = o * patch; i < (o + 1) * patch; ++i) out[i] = static_cast<float>(codes[i]) * scale[o];
    }
  });
  return out;
}

ConvWeights floatConvWeights(const DirectConv& conv, const View& weight, const float* scale) {
  const int64_t channels = conv.shape.groups * conv.shape.outChannels, patch = conv.shape.patch();
  const auto inRows = [](const float* rows) { return ConvWeights{.weights = reinterpret_cast<const uint32_t*>(rows), .inRows = true}; };
  if (weight.layout == Layout::packed) return {.packed = {static_cast<const int8_t*>(weight.data) + headerBytes(channels), scale}};
  if (scale) return inRows(dequantizeConv(conv.shape, weight, scale));
  const Reader<float> reader(weight, 1);
  if (reader.direct()) return inRows(reader.read(0, channels * patch, nullptr));
  thread_local ThreadBuffer memory;
  auto* buffer = static_cast<float*>(memory.get(channels * patch * static_cast<int64_t>(sizeof(float))));
  if (!buffer) return {};
  forEachPanels(channels, channels * patch, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kConvPanel * patch, last = std::min(channels, end * kConvPanel) * patch;
    reader.read(first, last - first, buffer + first);
  });
  return inRows(buffer);
}

void widenPanel(const DirectConv& conv, const PackedCodes& codes, int64_t panel, float* out) {
  const int64_t inChannels = conv.shape.inChannels, taps = conv.shape.taps(), n = taps * kConvPanel;
  const auto* from = reinterpret_cast<const uint32_t*>(codes.panels + panel * panelBytes(inChannels, taps));
  for (int64_t channel = 0; channel < inChannels; channel += kBytes, from += n, out += kBytes * n)
    conv.kernel.widen(static_cast<int>(std::min(kBytes, inChannels - channel)), n, from, codes.scale + panel * kConvPanel, out);
}

ConvWeights widenPanels(const DirectConv& conv, const PackedCodes& codes) {
  const int64_t channels = conv.shape.groups * conv.shape.outChannels, count = convPanels(channels),
                floats = conv.shape.patch() * kConvPanel;
  thread_local ThreadBuffer memory;
  auto* out = static_cast<float*>(memory.get(count * floats * static_cast<int64_t>(sizeof(float))));
  if (!out) return {};
  forEachPanels(channels, count * floats, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) widenPanel(conv, codes, panel, out + panel * floats);
  });
  return {.weights = reinterpret_cast<const uint32_t*>(out)};
}

ConvWeights int8ConvWeights(const DirectConv& conv, const View& weight) {
  const ConvShape& shape = conv.shape;
  const int64_t channels = shape.groups * shape.outChannels, taps = shape.taps(), patch = shape.patch(), elements = conv.elements();
  const int64_t rounded = roundUp(channels, kConvPanel);
  const bool packed = weight.layout == Layout::packed;
  BufferPlan plan;
  const int64_t atStart = plan.add(rounded * sizeof(int32_t)), atWeights = plan.add(rounded * elements * sizeof(uint32_t));
  const int64_t atCodes = plan.add(packed && conv.byTaps() ? channels * patch : 0);
  thread_local ThreadBuffer memory;
  char* base = static_cast<char*>(memory.get(plan.bytes));
  if (!base) return {};
  auto* start = reinterpret_cast<int32_t*>(base + atStart);
  auto* weights = reinterpret_cast<uint32_t*>(base + atWeights);
  // Elements of neighbouring channels are those of the packed form, or halves of them.
  if (packed && !conv.byTaps()) {
    const int8_t* panels = static_cast<const int8_t*>(weight.data) + headerBytes(channels);
    const auto* sums = static_cast<const int32_t*>(weight.data);
    for (int64_t o = 0; o < rounded; ++o) start[o] = -128 * sums[o];
    if (conv.kernel.perElement == kBytes) return {.weights = reinterpret_cast<const uint32_t*>(panels), .start = start};
    splitPanels(conv, panels, weights);
    return {.weights = weights, .start = start};
  }
  const auto* codes = static_cast<const int8_t*>(weight.data);
  if (packed) {
    auto* unpacked = reinterpret_cast<int8_t*>(base + atCodes);
    unpackConv(channels, shape.inChannels, taps, weight.data, unpacked);
    codes = unpacked;
  }
  forEachPanels(channels, channels * patch, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin * kConvPanel; o < end * kConvPanel; ++o) {
      uint32_t* out = weights + o / kConvPanel * elements * kConvPanel + o % kConvPanel;
      start[o] = 0;
      if (o >= channels) {
        for (int64_t i = 0; i < elements; ++i) out[i * kConvPanel] = 0;
        continue;
      }
      layOutChannel(conv, codes + o * patch, out);
      start[o] = startOf(codes + o * patch, patch);
    }
  });
  return {.weights = weights, .start = start};
}

}  // namespace quanto::cpu
