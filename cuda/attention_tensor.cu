// Attention of float16 and bfloat16, or of codes with such a result, by tensor cores, in the way of FlashAttention-2 (Dao 2023): a warp
// keeps 16 queries, their running sums and the weights of a tile of keys in registers. The weights of values are the sums of two numbers of
// the values' dtype, so that results are as exact as those of float32 weights.
#include "../csrc/scalar_math.h"
#include "attention.h"

namespace quanto::cuda {

namespace {

constexpr int kWarps = 4, kThreads = kWarps * kWarp, kWarpRows = 16, kRows = kWarps * kWarpRows, kKeys = 64;
constexpr int kWord = 4, kStepWords = 8;
// Rows in shared memory are so much longer that the lanes of a warp read from different banks.
constexpr int kKeyGap = 4, kValueGap = 8;

// The word at an element of a row, of which `left` elements are there.
QUANTO_DEVICE_CALL unsigned gatherWord(const void* data, bool codes, int64_t at, int64_t stride, int64_t left) {
  if (codes) return static_cast<unsigned>(fourCodes(static_cast<const int8_t*>(data) + at, stride, left));
  const auto* halves = static_cast<const uint16_t*>(data) + at;
  return (left > 0 ? halves[0] : 0u) | (left > 1 ? static_cast<unsigned>(halves[stride]) << 16 : 0u);
}

// Words [word, word + 4) of a row of `columns` elements, zeros beyond its end.
template <DType dtype>
QUANTO_DEVICE int4 loadWords(const Heads& from, int64_t row, int word, int64_t columns) {
  constexpr int kPerWord = kWord / static_cast<int>(sizeOf(dtype));
  const int64_t column = static_cast<int64_t>(word) * kPerWord;
  if (from.wide && column + 4 * kPerWord <= columns)
    return *reinterpret_cast<const int4*>(static_cast<const char*>(from.values.data) + (row + column) * sizeOf(dtype));
  const auto one = [&](int i) {
    const int64_t at = column + i * kPerWord;
    return static_cast<int>(gatherWord(from.values.data, dtype == DType::int8, row + at * from.strides[3], from.strides[3], columns - at));
  };
  return {one(0), one(1), one(2), one(3)};
}

// A tile of keys, row by row; zeros where there is none.
template <DType dtype, int kWords>
QUANTO_DEVICE void loadKeys(const Attention& call, int64_t item, int64_t head, int64_t firstKey, int64_t endKey,
                            unsigned (&keys)[kKeys][kWords + kKeyGap]) {
  for (int i = static_cast<int>(threadIdx.x); i < kKeys * kWords / 4; i += kThreads) {
    const int place = i / (kWords / 4), word = i % (kWords / 4) * 4;
    const int64_t key = firstKey + place;
    int4 words{};
    if (key < endKey) words = loadWords<dtype>(call.key, call.key.at(item, head, key), word, call.width);
    *reinterpret_cast<int4*>(keys[place] + word) = words;
  }
}

// Halves of two words as one, both lower or both upper ones.
QUANTO_DEVICE inline int pairOf(int first, int second, bool upper) {
  const unsigned a = static_cast<unsigned>(first), b = static_cast<unsigned>(second);
  return static_cast<int>(upper ? a >> 16 | (b & 0xffff0000u) : (a & 0xffffu) | b << 16);
}
QUANTO_DEVICE inline int4 pairsOf(int first, int second, int third, int fourth) {
  return {pairOf(first, second, false), pairOf(first, second, true), pairOf(third, fourth, false), pairOf(third, fourth, true)};
}

// Eight values from a column on as halves, which hold codes exactly.
template <DType dtype>
QUANTO_DEVICE int4 loadHalves(const Heads& from, int64_t row, int column, int64_t columns) {
  if (from.values.dtype != DType::int8) return loadWords<dtype>(from, row, column / 2, columns);
  float eight[kEight];
  loadEight(from, row, column, columns, eight);
  const auto two = [&](int i) { return static_cast<int>(narrowTwo<dtype>(eight[i], eight[i + 1])); };
  return {two(0), two(2), two(4), two(6)};
}

// A tile of values, two keys in a word.
template <DType dtype, int kColumns>
QUANTO_DEVICE void loadValues(const Attention& call, int64_t item, int64_t head, int64_t firstKey, int64_t endKey,
                              unsigned (&values)[kKeys / 2][kColumns + kValueGap]) {
  for (int i = static_cast<int>(threadIdx.x); i < kKeys / 2 * kColumns / kEight; i += kThreads) {
    const int pair = i / (kColumns / kEight), column = i % (kColumns / kEight) * kEight;
    int4 words[2]{};
    QUANTO_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int64_t key = firstKey + 2 * pair + j;
      if (key < endKey) words[j] = loadHalves<dtype>(call.value, call.value.at(item, head, key), column, call.valueWidth);
    }
    auto* to = reinterpret_cast<int4*>(values[pair] + column);
    to[0] = pairsOf(words[0].x, words[1].x, words[0].y, words[1].y);
    to[1] = pairsOf(words[0].z, words[1].z, words[0].w, words[1].w);
  }
}

// Two floats as a word, which is taken away from them.
template <DType dtype>
QUANTO_DEVICE unsigned takeTwo(float& first, float& second) {
  const unsigned word = narrowTwo<dtype>(first, second);
  float taken[2];
  widenTwo(word, dtype, taken);
  first -= taken[0];
  second -= taken[1];
  return word;
}

QUANTO_DEVICE float scaled(float sum, float scale) { return sum * scale; }
QUANTO_DEVICE int scaled(int sum, float) { return sum; }

// kSteps: products of 16 halves, or 32 codes, that a row of queries takes; kTiles: groups of eight columns of the values.
template <DType kQuery, DType kValue, int kSteps, int kTiles>
void attendByFragments(Issue& issue, const Attention& call) {
  using Sum = std::conditional_t<kQuery == DType::int8, int, float>;
  constexpr int kKeyWords = kSteps * kStepWords, kColumns = kTiles * kEight;
  const int64_t tiles = (call.rows() + kRows - 1) / kRows;
  const dim3 grid(static_cast<unsigned>(call.batch * call.shared * tiles));
  issue.launchBounded<kThreads, 2>(grid, [=] QUANTO_DEVICE() {
    alignas(16) __shared__ unsigned keys[kKeys][kKeyWords + kKeyGap];
    alignas(16) __shared__ unsigned values[kKeys / 2][kColumns + kValueGap];
    const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, e = lane / 4, q = lane % 4;
    const int64_t unit = blockIdx.x, tile = tiles - 1 - unit % tiles, head = unit / tiles % call.shared,
                  item = unit / (tiles * call.shared);
    const int64_t firstRow = tile * kRows, endRow = firstRow + kRows < call.rows() ? firstRow + kRows : call.rows();
    const int64_t endKey = call.mostVisible(firstRow, endRow);

    int64_t rows[2], visible[2] = {}, masks[2] = {};
    unsigned queries[kSteps][4] = {};
    QUANTO_UNROLL
    for (int i = 0; i < 2; ++i) {
      rows[i] = firstRow + thread / kWarp * kWarpRows + e + 8 * i;
      if (rows[i] >= endRow) continue;
      visible[i] = call.visible(rows[i]);
      masks[i] = call.maskPlace(item, head, rows[i]);
      const int64_t at = call.placeOfRow(call.query, item, head, rows[i]);
      constexpr int kPerWord = kWord / static_cast<int>(sizeOf(kQuery));
      QUANTO_UNROLL
      for (int step = 0; step < kSteps; ++step) {
        QUANTO_UNROLL
        for (int upper = 0; upper < 2; ++upper) {
          const int64_t column = (step * kStepWords + upper * 4 + q) * kPerWord;
          queries[step][upper * 2 + i] = gatherWord(call.query.values.data, kQuery == DType::int8, at + column * call.query.strides[3],
                                                    call.query.strides[3], call.width - column);
        }
      }
    }

    float results[kTiles][4] = {}, largest[2] = {-infinity(), -infinity()}, weight[2] = {};
    for (int64_t firstKey = 0; firstKey < endKey; firstKey += kKeys) {
      loadKeys<kQuery, kKeyWords>(call, item, head, firstKey, endKey, keys);
      loadValues<kValue, kColumns>(call, item, head, firstKey, endKey, values);
      __syncthreads();

      float scores[kKeys / 8][4];
      QUANTO_UNROLL
      for (int group = 0; group < kKeys / 8; ++group) {
        Sum sums[4] = {};
        QUANTO_UNROLL
        for (int step = 0; step < kSteps; ++step) {
          const unsigned* from = keys[group * 8 + e] + step * kStepWords + q;
          multiplyFragments<kQuery>(sums, queries[step], {from[0], from[4]});
        }
        QUANTO_UNROLL
        for (int c = 0; c < 4; ++c) {
          const int64_t key = firstKey + group * 8 + 2 * q + c % 2;
          scores[group][c] = key < visible[c / 2] ? call.score(scaled(sums[c], call.scale), masks[c / 2], key) : -infinity();
        }
      }
      QUANTO_UNROLL
      for (int i = 0; i < 2; ++i) {
        float top = largest[i];
        QUANTO_UNROLL
        for (int group = 0; group < kKeys / 8; ++group) top = larger(scores[group][2 * i], larger(scores[group][2 * i + 1], top));
        for (int distance = 1; distance < 4; distance *= 2) top = larger(__shfl_xor_sync(kAllLanes, top, distance), top);
        const float shift = shiftOf(top), factor = math::exp(largest[i] - shift);
        largest[i] = top;
        weight[i] *= factor;
        QUANTO_UNROLL
        for (int group = 0; group < kKeys / 8; ++group) {
          QUANTO_UNROLL
          for (int c = 2 * i; c < 2 * i + 2; ++c) {
            scores[group][c] = math::exp(scores[group][c] - shift);
            weight[i] += scores[group][c];
          }
        }
        QUANTO_UNROLL
        for (int column = 0; column < kTiles; ++column) {
          results[column][2 * i] *= factor;
          results[column][2 * i + 1] *= factor;
        }
      }

      // What a lane has of the scores of 16 keys is what it has to have of the weights as a left operand.
      QUANTO_UNROLL
      for (int step = 0; step < kKeys / 16; ++step) {
        unsigned high[4], low[4];
        QUANTO_UNROLL
        for (int i = 0; i < 4; ++i) {
          float& first = scores[2 * step + i / 2][i % 2 * 2];
          float& second = scores[2 * step + i / 2][i % 2 * 2 + 1];
          high[i] = takeTwo<kValue>(first, second);
          low[i] = narrowTwo<kValue>(first, second);
        }
        QUANTO_UNROLL
        for (int column = 0; column < kTiles; ++column) {
          const unsigned b[] = {values[step * 8 + q][column * 8 + e], values[step * 8 + q + 4][column * 8 + e]};
          multiplyFragments<kValue>(results[column], high, b);
          multiplyFragments<kValue>(results[column], low, b);
        }
      }
      __syncthreads();
    }

    QUANTO_UNROLL
    for (int i = 0; i < 2; ++i) {
      for (int distance = 1; distance < 4; distance *= 2) weight[i] += __shfl_xor_sync(kAllLanes, weight[i], distance);
      if (rows[i] >= endRow) continue;
      const float factor = call.normalizer(weight[i], rows[i]);
      const int64_t at = call.placeOfRow(call.out, item, head, rows[i]);
      QUANTO_UNROLL
      for (int column = 0; column < kTiles; ++column) {
        QUANTO_UNROLL
        for (int c = 0; c < 2; ++c) {
          const int64_t place = column * 8 + 2 * q + c;
          if (place < call.valueWidth)
            static_cast<uint16_t*>(call.out.values.data)[at + place * call.out.strides[3]] =
                convertOut<kValue>(results[column][2 * i + c] * factor);
        }
      }
    }
  });
}

template <DType kQuery, DType kValue>
void attendHalves(Issue& issue, const Attention& call, bool narrow) {
  if (narrow) attendByFragments<kQuery, kValue, 4, 8>(issue, call);
  else attendByFragments<kQuery, kValue, 8, 16>(issue, call);
}

template <DType kValue>
void attendWith(Issue& issue, const Attention& call, bool narrow) {
  if (call.scoreScale) attendHalves<DType::int8, kValue>(issue, call, narrow);
  else attendHalves<kValue, kValue>(issue, call, narrow);
}

}  // namespace

bool attendByTensorCores(Issue& issue, const Attention& call) {
  const DType dtype = call.out.values.dtype;
  const int64_t words = (call.width * sizeOf(call.query.values.dtype) + kWord - 1) / kWord;
  if (issue.computeMajor() < kTensorCoreMajor || (dtype != DType::float16 && dtype != DType::bfloat16)) return false;
  if (words > 8 * kStepWords || call.valueWidth > 16 * kEight) return false;
  const bool narrow = words <= 4 * kStepWords && call.valueWidth <= 8 * kEight;
  if (dtype == DType::float16) attendWith<DType::float16>(issue, call, narrow);
  else attendWith<DType::bfloat16>(issue, call, narrow);
  return true;
}

}  // namespace quanto::cuda
