// Convolution of int8 codes as a matrix product whose left operand is read where it lies (implicit GEMM): M the pixels of the output, N its
// channels, K the taps and, within each, the channels of the input.
#include "backend.h"
#include "conv_depthwise.h"
#include "loops.h"

namespace quanto::cuda {

namespace {

int64_t roundUp(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

// The codes of a pixel, and of a tap of the weight, lie side by side and end with zeros: in whole words for few channels, which dp4a takes,
// in whole loads of 16 bytes for many.
constexpr int kLoad = 16, kWord = 4;
constexpr int64_t kFewChannels = 8;
int64_t channelBytesOf(int64_t inChannels) { return roundUp(inChannels > 0 ? inChannels : 1, inChannels <= kFewChannels ? kWord : kLoad); }

// The packed form of a weight [O, C, ...taps]: O rows of [taps][channels], made up to whole loads.
struct PackedConv {
  int64_t outChannels, inChannels, taps, channelBytes, rowBytes;
  PackedConv(int64_t outChannels, int64_t inChannels, int64_t taps)
      : outChannels(outChannels),
        inChannels(inChannels),
        taps(taps),
        channelBytes(channelBytesOf(inChannels)),
        rowBytes(roundUp(taps * channelBytes, kLoad)) {}
  explicit PackedConv(const View& weight) : PackedConv(weight.shape[0], weight.shape[1], weight.shape[2] * weight.shape[3]) {}
  int64_t bytes() const { return outChannels * rowBytes; }
};

void pack(Issue& issue, const PackedConv& form, const int8_t* codes, int8_t* packed) {
  issue.forEach(form.bytes(), [=] QUANTO_DEVICE(int64_t i) {
    const int64_t row = i / form.rowBytes, at = i % form.rowBytes, tap = at / form.channelBytes, channel = at % form.channelBytes;
    const bool filled = tap < form.taps && channel < form.inChannels;
    packed[i] = filled ? codes[(row * form.inChannels + channel) * form.taps + tap] : 0;
  });
}

void unpack(Issue& issue, const PackedConv& form, const int8_t* packed, int8_t* codes) {
  issue.forEach(form.outChannels * form.inChannels * form.taps, [=] QUANTO_DEVICE(int64_t i) {
    const int64_t tap = i % form.taps, channel = i / form.taps % form.inChannels, row = i / form.taps / form.inChannels;
    codes[i] = packed[row * form.rowBytes + tap * form.channelBytes + channel];
  });
}

// The input of the slot, one code at a time; floats are quantized on the way.
struct CodeSource {
  const void* data;
  bool quantizes;
  Operand scale;
  CodeSource(const View& src, const View& scale) : data(src.data), quantizes(dtypeOf(src) != DType::int8), scale(scale) {}
  QUANTO_DEVICE float divisor() const { return quantizes ? scale.get(0) : 1.0f; }
  QUANTO_DEVICE int8_t get(int64_t i, float divisor) const {
    return quantizes ? int8Code(static_cast<const float*>(data)[i], divisor, DType::float32) : static_cast<const int8_t*>(data)[i];
  }
};

QUANTO_DEVICE void join(const int (&words)[1], int& out) { out = words[0]; }
QUANTO_DEVICE void join(const int (&words)[kLoad / kWord], int4& out) {
  out.x = words[0];
  out.y = words[1];
  out.z = words[2];
  out.w = words[3];
}

// Codes with the channels of each pixel side by side, [images][groups][pixels][channelBytes]: quantized once, not for each tap and each
// tile that reads them, and a quarter of the bytes of floats.
template <class Piece>
void layOut(Issue& issue, const ConvShape& shape, const CodeSource& source, int64_t channelBytes, Piece* out) {
  constexpr int kBytes = sizeof(Piece);
  const int64_t pieces = channelBytes / kBytes, pixels = shape.pixels(), inChannels = shape.inChannels;
  issue.forEach(shape.images * shape.groups * pieces * pixels, [=] QUANTO_DEVICE(int64_t i) {
    // Neighbouring threads have neighbouring pixels, which lie side by side in the source.
    const int64_t pixel = i % pixels, piece = i / pixels % pieces, item = i / pixels / pieces, first = piece * kBytes;
    const float divisor = source.divisor();
    int words[kBytes / kWord] = {};
    QUANTO_UNROLL
    for (int c = 0; c < kBytes; ++c) {
      const int code = first + c < inChannels ? source.get((item * inChannels + first + c) * pixels + pixel, divisor) : 0;
      words[c / kWord] |= (code & 0xff) << (8 * (c % kWord));
    }
    join(words, out[(item * pixels + pixel) * pieces + piece]);
  });
}

struct ImplicitGemm {
  ConvShape shape;
  int64_t m, channelBytes, rowBytes;
  const int8_t *codes, *weights;
  ConvFinish finish;
};

// The patch that an output pixel sees, from its first tap on.
class Patch {
 public:
  QUANTO_DEVICE Patch(const ImplicitGemm& call, int64_t group, int64_t pixel) : call_(call), image_(nullptr), y_(0), x_(0) {
    if (pixel >= call.m) return;
    const ConvShape& shape = call.shape;
    const int64_t image = pixel / shape.outPixels(), place = pixel % shape.outPixels();
    image_ = call.codes + (image * shape.groups + group) * shape.pixels() * call.channelBytes;
    y_ = shape.firstRow(place);
    x_ = shape.firstColumn(place);
  }

  QUANTO_DEVICE void advance(int codes) {
    const Window& window = call_.shape.window;
    channel_ += codes;
    while (channel_ >= call_.channelBytes) {
      channel_ -= call_.channelBytes;
      if (++kx_ < window.kernel[1]) continue;
      kx_ = 0;
      ++ky_;
    }
  }

  // The codes here; zeros in the padding. What is read past the last tap meets zeros of the weight.
  template <class Piece>
  QUANTO_DEVICE Piece get() const {
    const ConvShape& shape = call_.shape;
    const int64_t y = y_ + ky_ * shape.window.dilation[0], x = x_ + kx_ * shape.window.dilation[1];
    if (!image_ || !shape.isInside(y, x)) return Piece{};
    return *reinterpret_cast<const Piece*>(image_ + (y * shape.width + x) * call_.channelBytes + channel_);
  }

 private:
  const ImplicitGemm& call_;
  const int8_t* image_;
  int64_t y_, x_, channel_ = 0, ky_ = 0, kx_ = 0;
};

// Words of K that are in shared memory at a time, and threads that bring those of one row.
constexpr int kDepth = 16, kParts = kDepth * kWord / kLoad;
constexpr int kAcross = 16, kThreads = kAcross * kAcross;

// The next load of a patch, and on to what the same thread loads after that.
template <class Piece>
QUANTO_DEVICE int4 take(Patch& patch) {
  int4 taken;
  if constexpr (sizeof(Piece) == kLoad) {
    taken = patch.get<int4>();
    patch.advance(kDepth * kWord);
  } else {
    int words[kLoad / kWord];
    QUANTO_UNROLL
    for (int& word : words) {
      word = patch.get<int>();
      patch.advance(kWord);
    }
    join(words, taken);
    patch.advance(kDepth * kWord - kLoad);
  }
  return taken;
}

// A load becomes four words of a column. Rows of shared memory are as long as lets four neighbours be read at once.
template <int kSide>
struct Strip {
  static constexpr int kPitch = kSide + kWord;
  alignas(kLoad) int words[kDepth][kPitch];
  QUANTO_DEVICE void put(int part, int place, const int4& four) {
    words[part * 4][place] = four.x;
    words[part * 4 + 1][place] = four.y;
    words[part * 4 + 2][place] = four.z;
    words[part * 4 + 3][place] = four.w;
  }
  template <int kCount>
  QUANTO_DEVICE void get(int l, int place, int (&out)[kCount]) const {
    if constexpr (kCount == 4) {
      const int4 four = *reinterpret_cast<const int4*>(words[l] + place);
      out[0] = four.x;
      out[1] = four.y;
      out[2] = four.z;
      out[3] = four.w;
    } else {
      for (int i = 0; i < kCount; ++i) out[i] = words[l][place + i];
    }
  }
};

// A block makes 64 pixels by 16 * kChannels channels, a thread four pixels by kChannels. While a strip of K is multiplied, the next one is
// on its way.
template <class Piece, int kChannels>
void multiplyPatches(Issue& issue, const ImplicitGemm& call) {
  constexpr int kPixels = 4, kTilePixels = kAcross * kPixels, kTileChannels = kAcross * kChannels;
  static_assert(kTilePixels * kParts == kThreads);
  const int64_t across = (call.shape.outChannels + kTileChannels - 1) / kTileChannels, down = (call.m + kTilePixels - 1) / kTilePixels;
  issue.launch(dim3(static_cast<unsigned>(across * down * call.shape.groups)), dim3(kThreads), [=] QUANTO_DEVICE() {
    __shared__ Strip<kTilePixels> patches;
    __shared__ Strip<kTileChannels> weights;
    const ConvShape& shape = call.shape;
    const int thread = static_cast<int>(threadIdx.x), x = thread % kAcross * kPixels, y = thread / kAcross * kChannels;
    const int part = thread % kParts, place = thread / kParts;
    // Tiles of the same pixels follow each other: the cache has their patches.
    const int64_t unit = blockIdx.x, group = unit / (across * down);
    const int64_t firstPixel = unit / across % down * kTilePixels, firstChannel = unit % across * kTileChannels;
    Patch patch(call, group, firstPixel + place);
    patch.advance(part * kLoad);
    const bool hasWeight = place < kTileChannels && firstChannel + place < shape.outChannels;
    const int8_t* row = call.weights + (group * shape.outChannels + firstChannel + place) * call.rowBytes;
    const auto takeWeight = [&](int64_t first) {
      const int64_t at = first + part * kLoad;
      return hasWeight && at < call.rowBytes ? *reinterpret_cast<const int4*>(row + at) : int4{};
    };
    int sums[kChannels][kPixels] = {};
    int4 nextPatch = take<Piece>(patch), nextWeight = takeWeight(0);
    for (int64_t first = 0; first < call.rowBytes; first += kDepth * kWord) {
      patches.put(part, place, nextPatch);
      if (place < kTileChannels) weights.put(part, place, nextWeight);
      __syncthreads();
      if (first + kDepth * kWord < call.rowBytes) {
        nextPatch = take<Piece>(patch);
        nextWeight = takeWeight(first + kDepth * kWord);
      }
      QUANTO_UNROLL
      for (int l = 0; l < kDepth; ++l) {
        int left[kPixels], right[kChannels];
        patches.get(l, x, left);
        weights.get(l, y, right);
        QUANTO_UNROLL
        for (int j = 0; j < kChannels; ++j) {
          QUANTO_UNROLL
          for (int i = 0; i < kPixels; ++i) sums[j][i] = __dp4a(left[i], right[j], sums[j][i]);
        }
      }
      __syncthreads();
    }
    int64_t places[kPixels];
    QUANTO_UNROLL
    for (int i = 0; i < kPixels; ++i) {
      const int64_t pixel = firstPixel + x + i, image = pixel / shape.outPixels();
      places[i] = (image * shape.channels() + group * shape.outChannels) * shape.outPixels() + pixel % shape.outPixels();
    }
    QUANTO_UNROLL
    for (int j = 0; j < kChannels; ++j) {
      const int64_t channel = firstChannel + y + j;
      if (channel >= shape.outChannels) break;
      const auto of = call.finish.channel<int>(group * shape.outChannels + channel);
      QUANTO_UNROLL
      for (int i = 0; i < kPixels; ++i) {
        if (firstPixel + x + i < call.m) call.finish.store(of, places[i] + channel * shape.outPixels(), sums[j][i]);
      }
    }
  });
}

template <class Piece>
void multiplyLaidOut(Issue& issue, ImplicitGemm call, const CodeSource& source) {
  const ConvShape& shape = call.shape;
  const int64_t bytes = shape.images * shape.groups * shape.pixels() * call.channelBytes;
  auto* codes = issue.scratch<int8_t>(Scratch::codes, bytes);
  if (issue.failed()) return;
  layOut(issue, shape, source, call.channelBytes, reinterpret_cast<Piece*>(codes));
  call.codes = codes;
  if (shape.outChannels > kAcross) multiplyPatches<Piece, 4>(issue, call);
  else multiplyPatches<Piece, 1>(issue, call);
}

}  // namespace

size_t packedConvBytes(int64_t outChannels, int64_t inChannels, int64_t taps) {
  return static_cast<size_t>(PackedConv(outChannels, inChannels, taps).bytes());
}

Status packConvWeight(Queue* queue, const View* src, const View* out) {
  Issue issue(queue);
  pack(issue, PackedConv(*src), static_cast<const int8_t*>(src->data), static_cast<int8_t*>(out->data));
  return issue.finish();
}

Status unpackConvWeight(Queue* queue, const View* src, const View* out) {
  Issue issue(queue);
  unpack(issue, PackedConv(*out), static_cast<const int8_t*>(src->data), static_cast<int8_t*>(out->data));
  return issue.finish();
}

// By float products of the dequantized weight, in scratch memory.
Status conv2dWeightOnly(Queue* queue, const View* src, const View* weight, const View* scale, const View* bias, const View* normScale,
                        const View* normShift, const View* addend, const View* out, const Window* window, int32_t activation) {
  Issue issue(queue);
  if (elementCount(*out) == 0) return issue.finish();
  const int64_t count = elementCount(*weight), patch = count / weight->shape[0];
  const auto* codes = static_cast<const int8_t*>(weight->data);
  auto* values = issue.scratch<float>(Scratch::weights, count);
  if (weight->layout == Layout::packed) {
    auto* rows = issue.scratch<int8_t>(Scratch::codes, count);
    if (!issue.failed()) unpack(issue, PackedConv(*weight), codes, rows);
    codes = rows;
  }
  if (issue.failed()) return issue.finish();
  const Operand scales(*scale);
  const bool one = elementCount(*scale) == 1;
  issue.forEach(count, [=] QUANTO_DEVICE(int64_t i) { values[i] = static_cast<float>(codes[i]) * scales.get(one ? 0 : i / patch); });
  if (const Status status = issue.finish(); status != Status::ok) return status;
  View dense = *weight;
  dense.data = values;
  dense.dtype = static_cast<int32_t>(DType::float32);
  dense.layout = Layout::strided;
  return conv2dFused(queue, src, &dense, bias, normScale, normShift, addend, out, window, activation);
}

Status conv2dInt8(Queue* queue, const View* src, const View* srcScale, const View* weight, const View* scale, const View* bias,
                  const View* normScale, const View* normShift, const View* addend, const View* out, const View* outScale,
                  const Window* window, int32_t activation) {
  Issue issue(queue);
  if (elementCount(*out) == 0) return issue.finish();
  const ConvShape shape(*src, *out, *window);
  const CodeSource source(*src, *srcScale);
  ConvFinish finish(bias, *out);
  finish.takeSums(*srcScale, *scale);
  finish.takeSteps(normScale, normShift, addend, activation);
  if (outScale) finish.outScale = Operand(*outScale);
  const bool packed = weight->layout == Layout::packed;
  const auto* weights = static_cast<const int8_t*>(weight->data);
  const PackedConv form(*weight);
  if (shape.isDepthwise() && !packed) {
    convolveDepthwise<int>(
        issue, shape, [=] QUANTO_DEVICE(int64_t place) -> int { return source.get(place, source.divisor()); },
        [=] QUANTO_DEVICE(int64_t place) -> int { return weights[place]; }, finish);
    return issue.finish();
  }
  if (!packed) {
    auto* memory = issue.scratch<int8_t>(Scratch::weights, form.bytes());
    if (issue.failed()) return issue.finish();
    pack(issue, form, weights, memory);
    weights = memory;
  }
  const ImplicitGemm call{shape, shape.images * shape.outPixels(), form.channelBytes, form.rowBytes, nullptr, weights, finish};
  if (form.channelBytes % kLoad == 0) multiplyLaidOut<int4>(issue, call, source);
  else multiplyLaidOut<int>(issue, call, source);
  return issue.finish();
}

}  // namespace quanto::cuda
