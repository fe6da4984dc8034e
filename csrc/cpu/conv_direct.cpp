#include "conv_direct.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "conv_pack.h"
#include "conv_patches.h"
#include "elements.h"
#include "elementwise.h"
#include "gemm/workspace.h"
#include "loops.h"
#include "row_loops.h"
#include "scratch.h"

namespace quanto::cpu {
namespace {

// Units of each thread that still widen packed weights themselves.
constexpr int64_t kUnitsThatWiden = 8;

// One band of output rows of one image and group, for some of the group's channels.
struct Unit {
  int64_t image, group, firstRow, rows, firstChannel, channels;
};

// Sums that no tile can store as they are needed: other dtypes than float32 and int8, or an activation with a function of its own.
bool isBuffered(const DirectConv& conv) {
  const DType dtype = dtypeOf(conv.out);
  return conv.activation > Activation::relu || (dtype != DType::float32 && dtype != DType::int8);
}

UnaryOp functionOf(Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return UnaryOp::gelu;
    case Activation::geluTanh:
      return UnaryOp::geluTanh;
    case Activation::silu:
      return UnaryOp::silu;
    default:
      return UnaryOp::relu;
  }
}

// The activation of buffered rows, and their way to the output.
void storeBuffered(const DirectConv& conv, float* values, int64_t n, int64_t place) {
  if (conv.activation != Activation::none) {
    elementwiseLoops<float>().unary[static_cast<int>(functionOf(conv.activation))](values, values, n, 0, 0);
  }
  const DType dtype = dtypeOf(conv.out);
  char* to = static_cast<char*>(conv.out.data) + place * sizeOf(dtype);
  if (dtype == DType::int8) rowLoops().quantizeInt8(values, &conv.finish.codeScale, 0, reinterpret_cast<int8_t*>(to), n);
  else storeFunction<float>(dtype)(values, n, to, 1);
}

// The images of a unit to come, fetched into the second-level cache a little at a time meanwhile.
class Prefetch {
 public:
  Prefetch(const void* data, int64_t bytes, int64_t steps)
      : next_(static_cast<const char*>(data)), end_(next_ + bytes), step_((bytes / std::max<int64_t>(1, steps) + kLine) / kLine * kLine) {}
  void advance() {
    for (const char* stop = std::min(end_, next_ + step_); next_ < stop; next_ += kLine) __builtin_prefetch(next_, 0, 2);
  }

 private:
  static constexpr int64_t kLine = 64;
  const char *next_, *end_;
  int64_t step_;
};

struct Memory {
  uint32_t* patches;
  uint32_t* encoded;
  PixelVector* pixels;
  float* buffer;
  float* panel;
};

void runUnit(const DirectConv& conv, const PatchPlan& plan, const Unit& unit, const ConvWeights& weights, const void* next,
             const Memory& memory) {
  const ConvShape& shape = conv.shape;
  const ConvKernel& kernel = conv.kernel;
  plan.fill(unit.image, unit.group, unit.firstRow, unit.rows, memory.encoded, memory.patches);
  const int64_t vectors = plan.listPixels(unit.rows, memory.patches, memory.pixels);

  const int64_t channels = shape.groups * shape.outChannels, first = unit.group * shape.outChannels + unit.firstChannel;
  const int64_t plane = shape.outPixels(), pixels = unit.rows * shape.outWidth;
  // The place of channel 0 of this image and band.
  const int64_t base = unit.image * channels * plane + unit.firstRow * shape.outWidth;
  const bool buffered = isBuffered(conv);
  ConvFinish finish = conv.finish;
  finish.planeStride = finish.addendStride = plane;
  if (finish.addend) finish.addend += base;
  if (buffered) {
    finish.relu = 0;
    finish.out = memory.buffer - first * pixels;
    finish.codes = nullptr;
    finish.planeStride = pixels;
  } else if (dtypeOf(conv.out) == DType::int8) {
    finish.codes = static_cast<int8_t*>(conv.out.data) + base;
    finish.out = nullptr;
  } else {
    finish.out = static_cast<float*>(conv.out.data) + base;
    finish.codes = nullptr;
  }

  const int64_t elements = conv.elements();
  const int64_t channelStride = weights.inRows ? elements : 1, groupStride = weights.inRows ? 1 : kConvPanel;
  int64_t widened = -1;  // the panel in memory
  const int32_t* start = weights.start;
  const Pieces across(vectors, kernel.vectors);
  const int64_t tiles = unit.channels / kernel.rows * across.pieces;
  Prefetch prefetch(next, next ? shape.inChannels * shape.pixels() * sizeOf(dtypeOf(conv.src)) : 0, tiles);
  for (int64_t channel = first; channel < first + unit.channels;) {
    // A tile stays within a panel.
    const int64_t inPanel = channel % kConvPanel;
    const int64_t rows = std::min({static_cast<int64_t>(kernel.rows), kConvPanel - inPanel, first + unit.channels - channel});
    const int64_t panel = channel / kConvPanel;
    if (weights.packed.panels && panel != widened) {
      widened = panel;
      widenPanel(conv, weights.packed, panel, memory.panel);
    }
    const uint32_t* weightsOfPanel =
        weights.packed.panels ? reinterpret_cast<const uint32_t*>(memory.panel) : weights.weights + panel * kConvPanel * elements;
    for (int64_t piece = 0; piece < across.pieces; ++piece) {
      kernel.tile(static_cast<int>(rows), static_cast<int>(across.size(piece)),
                  {elements, plan.offsets(), weightsOfPanel + inPanel * channelStride, channelStride, groupStride,
                   start ? start + channel : nullptr, memory.pixels + across.begin(piece), plan.halved(), channel},
                  finish);
      prefetch.advance();
    }
    channel += rows;
  }
  if (!buffered) return;
  for (int64_t i = 0; i < unit.channels; ++i) storeBuffered(conv, memory.buffer + i * pixels, pixels, base + (first + i) * plane);
}

}  // namespace

bool DirectConv::byTaps() const { return kernel.perElement > 1 && shape.inChannels == 1 && canPad(shape); }
int64_t DirectConv::blocks() const { return (shape.inChannels + kernel.perElement - 1) / kernel.perElement; }
int64_t DirectConv::columns() const {
  const int64_t taps = shape.window.kernel[1];
  return byTaps() ? (taps + kernel.perElement - 1) / kernel.perElement : taps;
}

Status convolveDirectly(const DirectConv& conv, const ConvWeights& given) {
  const ConvShape& shape = conv.shape;
  const int64_t planes = shape.images * shape.groups;
  if (planes == 0 || shape.outChannels == 0 || shape.outPixels() == 0) return Status::ok;
  PatchPlan plan(conv);
  // Enough units for all threads: bands of rows first, then parts of the channels, which make the patches again.
  const Pieces bands(shape.outHeight, plan.bandRows(std::max<int64_t>(1, 2 * threadCount() / planes)));
  if (!plan.layOut(bands.largest())) return Status::outOfMemory;
  const int64_t wanted = std::max<int64_t>(1, (threadCount() + planes * bands.pieces - 1) / (planes * bands.pieces));
  const Pieces parts(shape.outChannels, std::max<int64_t>(kConvPanel, roundUp(shape.outChannels / wanted, kConvPanel)));

  const int64_t pixels = bands.largest() * shape.outWidth;
  BufferPlan buffers;
  const int64_t atPatches = buffers.add(plan.patchElements() * sizeof(uint32_t));
  const int64_t atEncoded = buffers.add(plan.encodedElements() * sizeof(uint32_t));
  const int64_t atPixels = buffers.add(plan.vectors() * sizeof(PixelVector));
  const int64_t atBuffer = buffers.add(isBuffered(conv) ? parts.largest() * pixels * sizeof(float) : 0);
  const int64_t atPanel = buffers.add(given.packed.panels ? conv.elements() * kConvPanel * sizeof(float) : 0);

  // Few units widen their panels one by one as they want them, in their own caches: what one thread widens for all has to come from
  // its cache into those of the others. Many would do it too often.
  const int64_t units = planes * bands.pieces * parts.pieces;
  const ConvWeights weights = given.packed.panels && units > kUnitsThatWiden * threadCount() ? widenPanels(conv, given.packed) : given;
  if (!weights.weights && !weights.packed.panels) return Status::outOfMemory;

  std::atomic<bool> failed{false};
  const int64_t work = conv.elements() * parts.largest() * pixels;
  parallelFor(units, std::max<int64_t>(1, kCheapGrain * 8 / std::max<int64_t>(1, work)), [&](int64_t begin, int64_t end) {
    thread_local ThreadBuffer buffer;
    char* base = static_cast<char*>(buffer.get(buffers.bytes));
    if (!base) {
      failed = true;
      return;
    }
    const Memory memory{reinterpret_cast<uint32_t*>(base + atPatches), reinterpret_cast<uint32_t*>(base + atEncoded),
                        reinterpret_cast<PixelVector*>(base + atPixels), reinterpret_cast<float*>(base + atBuffer),
                        reinterpret_cast<float*>(base + atPanel)};
    for (int64_t i = begin; i < end; ++i) {
      const int64_t part = i % parts.pieces, band = i / parts.pieces % bands.pieces, pair = i / parts.pieces / bands.pieces;
      const Unit unit{pair / shape.groups, pair % shape.groups, bands.begin(band), bands.size(band), parts.begin(part), parts.size(part)};
      const bool readsOn = bands.pieces * parts.pieces == 1 && i + 1 < end;
      runUnit(conv, plan, unit, weights, readsOn ? plan.planes(pair + 1) : nullptr, memory);
    }
  });
  return failed ? Status::outOfMemory : Status::ok;
}

}  // namespace quanto::cpu
