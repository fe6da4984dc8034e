// softmax(query key^T * scale + mask) value with the online softmax (Milakov and Gimelshein 2018; Dao et al. 2022): a block takes a tile of
// queries past tiles of keys and values in shared memory, and no score leaves it.
#include "../csrc/scalar_math.h"
#include "attention.h"
#include "backend.h"

namespace quanto::cuda {

namespace {

// Queries and keys of a tile; a thread has four by four of their scores.
constexpr int kSide = 64, kMicro = 4, kAcross = kSide / kMicro, kThreads = kAcross * kAcross;
// Cells of queries and keys that are in shared memory at a time, and keys of values.
constexpr int kDepth = 16, kValueKeys = 16;

// Where the weight of a row lies among those of a key: lanes that write four neighbours, for every fourth key, are in different banks.
QUANTO_DEVICE int weightPlace(int key, int row) { return row ^ (key / kMicro % 8 * kMicro); }

template <class Cell>
QUANTO_DEVICE void readFour(const Cell* from, Cell (&out)[kMicro]) {
  using Four = std::conditional_t<isFloat<Cell>, float4, int4>;
  const Four four = *reinterpret_cast<const Four*>(from);
  out[0] = four.x;
  out[1] = four.y;
  out[2] = four.z;
  out[3] = four.w;
}

// Threads [0, 128) bring a strip of queries, the others one of keys: each eight cells of a row, which become a column. Neighbouring threads
// have neighbouring rows.
template <class Cell>
QUANTO_DEVICE void loadStrip(const Attention& call, int64_t item, int64_t head, const int64_t* places, int64_t firstKey, int64_t cell,
                             Cell (&queries)[kDepth][kSide], Cell (&keys)[kDepth][kSide]) {
  const int thread = static_cast<int>(threadIdx.x) % (kThreads / 2), place = thread % kSide, depth = thread / kSide * kEight;
  const bool ofQueries = static_cast<int>(threadIdx.x) < kThreads / 2;
  const Heads& heads = ofQueries ? call.query : call.key;
  const int64_t key = firstKey + place, at = ofQueries ? places[place] : key < call.keys ? call.key.at(item, head, key) : -1;
  Cell cells[kEight] = {};
  if (at >= 0) loadEight(heads, at, (cell + depth) * kPerCell<Cell>, call.width, cells);
  QUANTO_UNROLL
  for (int i = 0; i < kEight; ++i) {
    if (!ofQueries) keys[depth + i][place] = cells[i];
    else if constexpr (isFloat<Cell>) queries[depth + i][place] = cells[i] * call.scale;
    else queries[depth + i][place] = cells[i];
  }
}

// kParts: groups of 64 columns of the values that a block makes.
template <class Cell, int kParts>
void attendTiles(Issue& issue, const Attention& call) {
  constexpr int kColumns = kParts * kSide;
  const int64_t tiles = (call.rows() + kSide - 1) / kSide, strips = (call.valueWidth + kColumns - 1) / kColumns;
  const dim3 grid(static_cast<unsigned>(call.batch * call.shared * tiles * strips));
  issue.launchBounded<kThreads, 2>(grid, [=] QUANTO_DEVICE() {
    alignas(16) __shared__ Cell queries[kDepth][kSide];
    alignas(16) __shared__ Cell keys[kDepth][kSide];
    alignas(16) __shared__ float weights[kSide][kSide];
    alignas(16) __shared__ float values[kValueKeys][kColumns];
    // Of each row: where its query lies, or -1, the keys that it sees, and where its mask lies.
    __shared__ int64_t places[kSide], visible[kSide], masks[kSide];
    const int thread = static_cast<int>(threadIdx.x), x = thread % kAcross * kMicro, y = thread / kAcross * kMicro;
    // The last queries first: where it is causal, they take longest.
    const int64_t unit = blockIdx.x, tile = tiles - 1 - unit % tiles, column = unit / tiles % strips * kColumns;
    const int64_t head = unit / (tiles * strips) % call.shared, item = unit / (tiles * strips * call.shared);
    const int64_t firstRow = tile * kSide, endRow = firstRow + kSide < call.rows() ? firstRow + kSide : call.rows();
    const int64_t endKey = call.mostVisible(firstRow, endRow);
    if (thread < kSide) {
      const int64_t row = firstRow + thread;
      places[thread] = row < endRow ? call.placeOfRow(call.query, item, head, row) : -1;
      visible[thread] = row < endRow ? call.visible(row) : 0;
      masks[thread] = row < endRow ? call.maskPlace(item, head, row) : 0;
    }
    __syncthreads();

    float results[kMicro][kParts * kMicro] = {}, largest[kMicro], weight[kMicro] = {};
    for (float& each : largest) each = -infinity();
    for (int64_t firstKey = 0; firstKey < endKey; firstKey += kSide) {
      Cell sums[kMicro][kMicro] = {};
      for (int64_t cell = 0; cell * kPerCell<Cell> < call.width; cell += kDepth) {
        loadStrip(call, item, head, places, firstKey, cell, queries, keys);
        __syncthreads();
        QUANTO_UNROLL
        for (int l = 0; l < kDepth; ++l) {
          Cell a[kMicro], b[kMicro];
          readFour(queries[l] + y, a);
          readFour(keys[l] + x, b);
          QUANTO_UNROLL
          for (int i = 0; i < kMicro; ++i) {
            QUANTO_UNROLL
            for (int j = 0; j < kMicro; ++j) sums[i][j] = multiplyCell(a[i], b[j], sums[i][j]);
          }
        }
        __syncthreads();
      }

      // The 16 threads that share rows are neighbours in one warp.
      float scores[kMicro][kMicro];
      QUANTO_UNROLL
      for (int i = 0; i < kMicro; ++i) {
        float top = largest[i];
        QUANTO_UNROLL
        for (int j = 0; j < kMicro; ++j) {
          const int64_t key = firstKey + x + j;
          scores[i][j] = key < visible[y + i] ? call.score(sums[i][j], masks[y + i], key) : -infinity();
          top = larger(scores[i][j], top);
        }
        for (int distance = 1; distance < kAcross; distance *= 2) top = larger(__shfl_xor_sync(kAllLanes, top, distance), top);
        const float shift = shiftOf(top), factor = math::exp(largest[i] - shift);
        largest[i] = top;
        weight[i] *= factor;
        QUANTO_UNROLL
        for (int j = 0; j < kMicro; ++j) {
          scores[i][j] = math::exp(scores[i][j] - shift);
          weight[i] += scores[i][j];
        }
        QUANTO_UNROLL
        for (int c = 0; c < kParts * kMicro; ++c) results[i][c] *= factor;
      }
      QUANTO_UNROLL
      for (int j = 0; j < kMicro; ++j)
        *reinterpret_cast<float4*>(weights[x + j] + weightPlace(x + j, y)) = {scores[0][j], scores[1][j], scores[2][j], scores[3][j]};

      for (int first = 0; first < kSide && firstKey + first < endKey; first += kValueKeys) {
        for (int i = thread; i < kValueKeys * kColumns / kEight; i += kThreads) {
          const int place = i % (kColumns / kEight) * kEight, row = i / (kColumns / kEight);
          const int64_t key = firstKey + first + row;
          float eight[kEight] = {};
          if (key < endKey) loadEight(call.value, call.value.at(item, head, key), column + place, call.valueWidth, eight);
          QUANTO_UNROLL
          for (int c = 0; c < kEight; ++c) values[row][place + c] = eight[c];
        }
        __syncthreads();
        QUANTO_UNROLL
        for (int l = 0; l < kValueKeys; ++l) {
          float a[kMicro];
          readFour(weights[first + l] + weightPlace(first + l, y), a);
          QUANTO_UNROLL
          for (int part = 0; part < kParts; ++part) {
            float b[kMicro];
            readFour(values[l] + part * kSide + x, b);
            QUANTO_UNROLL
            for (int i = 0; i < kMicro; ++i) {
              QUANTO_UNROLL
              for (int j = 0; j < kMicro; ++j) results[i][part * kMicro + j] = multiplyAdd(a[i], b[j], results[i][part * kMicro + j]);
            }
          }
        }
        __syncthreads();
      }
    }

    QUANTO_UNROLL
    for (int i = 0; i < kMicro; ++i) {
      for (int distance = 1; distance < kAcross; distance *= 2) weight[i] += __shfl_xor_sync(kAllLanes, weight[i], distance);
      const int64_t row = firstRow + y + i;
      if (row >= endRow) continue;
      const float factor = call.normalizer(weight[i], row);
      const int64_t at = call.placeOfRow(call.out, item, head, row);
      QUANTO_UNROLL
      for (int c = 0; c < kParts * kMicro; ++c) {
        const int64_t place = column + c / kMicro * kSide + x + c % kMicro;
        if (place < call.valueWidth)
          storeFloat(call.out.values.data, call.out.values.dtype, at + place * call.out.strides[3], results[i][c] * factor);
      }
    }
  });
}

template <class Cell>
void attend(Issue& issue, const Attention& call) {
  if (call.valueWidth <= kSide) attendTiles<Cell, 1>(issue, call);
  else attendTiles<Cell, 2>(issue, call);
}

}  // namespace

Status attention(Queue* queue, const View* query, const View* key, const View* value, const View* mask, const View* scoreScale,
                 const View* valueScale, const View* out, double scale, int32_t causal, int64_t diagonal) {
  Issue issue(queue);
  if (elementCount(*out) == 0) return issue.finish();
  const Attention call(*query, *key, *value, mask, scoreScale, valueScale, *out, scale, causal, diagonal);
  if (attendRows(issue, call) || attendByTensorCores(issue, call)) return issue.finish();
  if (scoreScale) attend<int>(issue, call);
  else attend<float>(issue, call);
  return issue.finish();
}

}  // namespace quanto::cuda
