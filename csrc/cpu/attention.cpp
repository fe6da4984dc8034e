#include "attention.h"

#include <atomic>

#include "kernels.h"
#include "loops.h"
#include "scratch.h"

namespace quanto::cpu {
namespace {

// Packed queries and running sums of a unit: as many tiles as stay in the second-level cache, because keys are packed once a unit.
constexpr int64_t kUnitBytes = 1 << 19;
// Multiply-adds that repay handing a unit to another thread, and those that take as long as one exponential.
constexpr int64_t kGrain = 1 << 18, kExponential = 16;

// How many tiles of a shared head are one unit. Results do not depend on it: blocks of keys and tiles are the same for any.
int64_t tilesPerUnit(const Attention& call, int64_t tiles, int64_t columns) {
  const int64_t bytes = columns * (call.width() + call.valueWidth()) * static_cast<int64_t>(sizeof(float));
  const int64_t most = std::clamp<int64_t>(kUnitBytes / std::max<int64_t>(1, bytes), 1, tiles);
  const int64_t heads = call.query.shape[0] * call.sharedHeads();
  const int64_t wanted = (4 * threadCount() + heads - 1) / heads;
  return std::max<int64_t>(1, Pieces(tiles, std::min(most, (tiles + wanted - 1) / wanted)).largest());
}

// Calls body(place, first tile, end, memory) for every unit of so many tiles at most, with `bytes` of memory.
template <class Body>
Status forEachUnit(const Attention& call, int64_t tiles, int64_t columns, int64_t largest, int64_t bytes, Body&& body) {
  const Pieces units(tiles, largest);
  const int64_t work = std::min(call.rows(), largest * columns) * call.keys() * (call.width() + call.valueWidth() + kExponential);
  std::atomic<bool> failed{false};
  parallelFor(call.query.shape[0] * call.sharedHeads() * units.pieces, std::max<int64_t>(1, kGrain / (work + 1)),
              [&](int64_t begin, int64_t end) {
                thread_local ThreadBuffer buffer;
                char* memory = static_cast<char*>(buffer.get(bytes));
                if (!memory) {
                  failed = true;
                  return;
                }
                for (int64_t i = begin; i < end; ++i) {
                  const int64_t head = i / units.pieces, unit = i % units.pieces;
                  body(SharedHead{head / call.sharedHeads(), head % call.sharedHeads()}, units.begin(unit), units.begin(unit + 1), memory);
                }
              });
  return failed ? Status::outOfMemory : Status::ok;
}

Status attendFloats(const Attention& call) {
  const int64_t columns = call.kernel.columns, rows = call.rows(), tiles = (rows + columns - 1) / columns;
  // A last tile of few rows goes the other way.
  const int64_t rest = rows - (tiles - 1) * columns, fullTiles = rest <= fewRows(call.kernel) ? tiles - 1 : tiles;
  const int64_t largest = tilesPerUnit(call, tiles, columns);
  const TileMemory tilePlan = planTiles(call, std::min(largest, fullTiles));
  const RowMemory rowPlan = planRows(call);
  const int64_t bytes = std::max(fullTiles > 0 ? tilePlan.bytes : 0, fullTiles < tiles ? rowPlan.bytes : 0);
  return forEachUnit(call, tiles, columns, largest, bytes, [&](const SharedHead& place, int64_t first, int64_t end, char* memory) {
    runTiles(call, place, first, std::min(end, fullTiles), tilePlan, memory);
    if (end > fullTiles) runRows(call, place, fullTiles * columns, rows, rowPlan, memory);
  });
}

Status attendCodes(const Attention& call) {
  const int64_t columns = codeColumns(call), tiles = (call.rows() + columns - 1) / columns, largest = tilesPerUnit(call, tiles, columns);
  const CodeMemory plan = planCodes(call, largest);
  return forEachUnit(call, tiles, columns, largest, plan.bytes, [&](const SharedHead& place, int64_t first, int64_t end, char* memory) {
    runCodes(call, place, first, end, plan, memory);
  });
}

}  // namespace

Status attention(Queue*, const View* query, const View* key, const View* value, const View* mask, const View* scoreScale,
                 const View* valueScale, const View* out, double scale, int32_t causal, int64_t diagonal) {
  if (elementCount(*out) == 0) return Status::ok;
  const auto numberOf = [](const View* view) { return view ? static_cast<const float*>(view->data) : nullptr; };
  const Attention call{floatKernel(),        int8Kernel(),         *query,      *key,    *value, *out, mask, static_cast<float>(scale),
                       numberOf(scoreScale), numberOf(valueScale), causal != 0, diagonal};
  return valueScale ? attendCodes(call) : attendFloats(call);
}

}  // namespace quanto::cpu
