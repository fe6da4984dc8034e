// Few queries against many keys, as when a model makes one token after another: the keys are shared out among blocks, each of which gives
// its maxima, sums of weights and weighted sums of values; a second kernel joins them.
#include "../csrc/scalar_math.h"
#include "attention.h"

namespace quanto::cuda {

namespace {

constexpr int kMostRows = 8, kMostCells = 256, kMostColumns = 256;
constexpr int kWarps = 4, kThreads = kWarps * kWarp;
// Keys whose scores are in shared memory at a time, and lanes that share the product of a key.
constexpr int kKeys = 128, kLanes = 8;
// Blocks that fill a large GPU, and the most that share a head: joining them takes time.
constexpr int64_t kWantedBlocks = 1024, kMostSplits = 64;

// What a block gives of a row: its maximum, the sum of its weights, and its values' weighted sums.
struct Part {
  float* data;
  int64_t columns;
  QUANTO_DEVICE float& largest(int64_t row) const { return data[row * (columns + 2)]; }
  QUANTO_DEVICE float& weight(int64_t row) const { return data[row * (columns + 2) + 1]; }
  QUANTO_DEVICE float& value(int64_t row, int64_t column) const { return data[row * (columns + 2) + 2 + column]; }
};

// Queries as floats that were scaled, or as codes.
template <class Cell, int kRows>
QUANTO_DEVICE void loadQueries(const Attention& call, int64_t item, int64_t head, Cell (&queries)[kRows][kMostCells]) {
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kMostCells / kEight; i += kThreads) {
    const int row = i / (kMostCells / kEight), cell = i % (kMostCells / kEight) * kEight;
    Cell cells[kEight] = {};
    if (row < call.rows()) loadEight(call.query, call.placeOfRow(call.query, item, head, row), cell * kPerCell<Cell>, call.width, cells);
    QUANTO_UNROLL
    for (int c = 0; c < kEight; ++c) {
      if constexpr (isFloat<Cell>) queries[row][cell + c] = cells[c] * call.scale;
      else queries[row][cell + c] = cells[c];
    }
  }
}

// Of each row: the keys that it sees, and where its mask lies.
template <int kRows>
struct Sight {
  int64_t visible[kRows], masks[kRows];
};

// The scores of kKeys keys: eight lanes share each key, and one of them, by its number, finishes each row.
template <class Cell, int kRows>
QUANTO_DEVICE void scoreKeys(const Attention& call, int64_t item, int64_t head, const Sight<kRows>& sight, int64_t firstKey, int64_t endKey,
                             const Cell (&queries)[kRows][kMostCells], float (&scores)[kRows][kKeys]) {
  const int lane = static_cast<int>(threadIdx.x) % kLanes, group = static_cast<int>(threadIdx.x) / kLanes;
  const int64_t cells = (call.width + kPerCell<Cell> - 1) / kPerCell<Cell>;
  for (int place = group; place < kKeys; place += kThreads / kLanes) {
    const int64_t key = firstKey + place;
    Cell sums[kRows] = {};
    for (int64_t cell = lane * kEight; key < endKey && cell < cells; cell += kLanes * kEight) {
      Cell eight[kEight];
      loadEight(call.key, call.key.at(item, head, key), cell * kPerCell<Cell>, call.width, eight);
      QUANTO_UNROLL
      for (int row = 0; row < kRows; ++row) {
        QUANTO_UNROLL
        for (int c = 0; c < kEight; ++c) sums[row] = multiplyCell(eight[c], queries[row][cell + c], sums[row]);
      }
    }
    Cell mine = 0;
    QUANTO_UNROLL
    for (int row = 0; row < kRows; ++row) {
      for (int distance = 1; distance < kLanes; distance *= 2) sums[row] += __shfl_xor_sync(kAllLanes, sums[row], distance);
      if (lane == row) mine = sums[row];
    }
    if (lane >= kRows) continue;
    scores[lane][place] = key < sight.visible[lane] ? call.score(mine, sight.masks[lane], key) : -infinity();
  }
}

// Scores to weights: a warp for each row. The factors are what was summed before has to be multiplied by.
template <int kRows>
QUANTO_DEVICE void weighKeys(float (&scores)[kRows][kKeys], float* largest, float* weights, float* factors) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int row = static_cast<int>(threadIdx.x) / kWarp; row < kRows; row += kWarps) {
    float top = largest[row], sum = 0;
    for (int place = lane; place < kKeys; place += kWarp) top = larger(scores[row][place], top);
    for (int distance = 1; distance < kWarp; distance *= 2) top = larger(__shfl_xor_sync(kAllLanes, top, distance), top);
    const float shift = shiftOf(top);
    for (int place = lane; place < kKeys; place += kWarp) {
      const float weight = math::exp(scores[row][place] - shift);
      scores[row][place] = weight;
      sum += weight;
    }
    for (int distance = 1; distance < kWarp; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
    if (lane > 0) continue;
    factors[row] = math::exp(largest[row] - shift);
    weights[row] = weights[row] * factors[row] + sum;
    largest[row] = top;
  }
}

template <class Cell, int kRows>
void attendParts(Issue& issue, const Attention& call, float* parts, int64_t splits, int64_t splitKeys) {
  const int64_t columns = call.valueWidth;
  const int pieces = static_cast<int>((columns + kEight - 1) / kEight);
  int across = 1;  // lanes that share a value, a power of two
  while (across < pieces) across *= 2;
  issue.launch(dim3(static_cast<unsigned>(call.batch * call.shared * splits)), dim3(kThreads), [=] QUANTO_DEVICE() {
    alignas(16) __shared__ Cell queries[kRows][kMostCells];
    __shared__ float scores[kRows][kKeys];
    __shared__ Sight<kRows> sight;
    __shared__ float largest[kRows], weights[kRows], factors[kRows];
    __shared__ float sums[kWarps][kMostColumns];
    const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
    const int piece = lane % across, down = kWarp / across;
    const int64_t unit = blockIdx.x, split = unit % splits, head = unit / splits % call.shared, item = unit / (splits * call.shared);
    const int64_t seen = call.mostVisible(0, call.rows()), end = (split + 1) * splitKeys, endKey = end < seen ? end : seen;
    if (thread < kRows) {
      const bool there = thread < call.rows();
      sight.visible[thread] = there ? call.visible(thread) : 0;
      sight.masks[thread] = there ? call.maskPlace(item, head, thread) : 0;
      largest[thread] = -infinity();
      weights[thread] = 0;
    }
    loadQueries(call, item, head, queries);
    float results[kRows][kEight] = {};
    __syncthreads();
    for (int64_t firstKey = split * splitKeys; firstKey < endKey; firstKey += kKeys) {
      scoreKeys(call, item, head, sight, firstKey, endKey, queries, scores);
      __syncthreads();
      weighKeys(scores, largest, weights, factors);
      __syncthreads();
      QUANTO_UNROLL
      for (int row = 0; row < kRows; ++row) {
        QUANTO_UNROLL
        for (int c = 0; c < kEight; ++c) results[row][c] *= factors[row];
      }
      for (int place = warp * down + lane / across; piece < pieces && place < kKeys && firstKey + place < endKey; place += kWarps * down) {
        float eight[kEight];
        loadEight(call.value, call.value.at(item, head, firstKey + place), piece * kEight, columns, eight);
        QUANTO_UNROLL
        for (int row = 0; row < kRows; ++row) {
          QUANTO_UNROLL
          for (int c = 0; c < kEight; ++c) results[row][c] = multiplyAdd(scores[row][place], eight[c], results[row][c]);
        }
      }
      __syncthreads();
    }

    const Part part{parts + unit * call.rows() * (columns + 2), columns};
    QUANTO_UNROLL
    for (int row = 0; row < kRows; ++row) {
      QUANTO_UNROLL
      for (int c = 0; c < kEight; ++c) {
        float sum = results[row][c];
        for (int distance = across; distance < kWarp; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
        if (lane < pieces) sums[warp][lane * kEight + c] = sum;
      }
      __syncthreads();
      for (int column = thread; row < call.rows() && column < columns; column += kThreads) {
        float sum = 0;
        for (int i = 0; i < kWarps; ++i) sum += sums[i][column];
        part.value(row, column) = sum;
      }
      if (thread == 0 && row < call.rows()) {
        part.largest(row) = largest[row];
        part.weight(row) = weights[row];
      }
      __syncthreads();
    }
  });
}

void joinParts(Issue& issue, const Attention& call, float* parts, int64_t splits) {
  const int64_t columns = call.valueWidth, rows = call.rows(), partSize = rows * (columns + 2);
  issue.forEach(call.batch * call.shared * rows * columns, [=] QUANTO_DEVICE(int64_t i) {
    const int64_t column = i % columns, row = i / columns % rows, unit = i / (columns * rows);
    float largest = -infinity(), weight = 0, sum = 0;
    for (int64_t split = 0; split < splits; ++split)
      largest = larger(Part{parts + (unit * splits + split) * partSize, columns}.largest(row), largest);
    const float shift = shiftOf(largest);
    for (int64_t split = 0; split < splits; ++split) {
      const Part part{parts + (unit * splits + split) * partSize, columns};
      const float factor = math::exp(part.largest(row) - shift);
      weight += part.weight(row) * factor;
      sum += part.value(row, column) * factor;
    }
    const int64_t at = call.placeOfRow(call.out, unit / call.shared, unit % call.shared, row);
    call.out.values.set(at + column * call.out.strides[3], sum * call.normalizer(weight, row));
  });
}

template <class Cell>
void attendRowsOf(Issue& issue, const Attention& call, float* parts, int64_t splits, int64_t splitKeys) {
  if (call.rows() == 1) attendParts<Cell, 1>(issue, call, parts, splits, splitKeys);
  else if (call.rows() <= 4) attendParts<Cell, 4>(issue, call, parts, splits, splitKeys);
  else attendParts<Cell, kMostRows>(issue, call, parts, splits, splitKeys);
}

}  // namespace

bool attendRows(Issue& issue, const Attention& call) {
  const int64_t cells = call.scoreScale ? (call.width + 3) / 4 : call.width;
  if (call.rows() > kMostRows || cells > kMostCells || call.valueWidth > kMostColumns) return false;
  const int64_t heads = call.batch * call.shared, tiles = (call.keys + kKeys - 1) / kKeys;
  int64_t most = kWantedBlocks / heads;
  if (most > kMostSplits) most = kMostSplits;
  if (most < 1) most = 1;
  const int64_t splitTiles = tiles == 0 ? 1 : (tiles + most - 1) / most, splits = tiles == 0 ? 1 : (tiles + splitTiles - 1) / splitTiles;
  float* parts = issue.scratch<float>(Scratch::partials, heads * splits * call.rows() * (call.valueWidth + 2));
  if (issue.failed()) return true;
  if (call.scoreScale) attendRowsOf<int>(issue, call, parts, splits, splitTiles * kKeys);
  else attendRowsOf<float>(issue, call, parts, splits, splitTiles * kKeys);
  joinParts(issue, call, parts, splits);
  return true;
}

}  // namespace quanto::cuda
