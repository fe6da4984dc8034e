// Products with weights of 2 and 4 bits and of float8. They stream from memory as they are, 16 bytes a load, and are unpacked in registers.
#include "backend.h"
#include "code_rows.h"
#include "gemm.h"
#include "operands.h"
#include "queue.h"

namespace quanto::cuda {

namespace {

// The packed form is a row of bytes for each output, made up to whole loads. Codes follow their columns, but for this: the four bytes of a
// word hold columns 0 to 3 in their lowest bits, 4 to 7 in the next ones and so on, so that a shift and a mask give four neighbours as dp4a
// takes them.
template <int kBits, DType dtype>
struct Code {
  static constexpr int bits = kBits, perWord = 32 / bits, perLoad = 128 / bits;
  static constexpr unsigned mask = (1u << bits) - 1;

  // Of the column in a word.
  static QUANTO_DEVICE int bitOf(int column) { return column % 4 * 8 + column / 4 * bits; }
  static QUANTO_DEVICE float value(unsigned code) {
    if constexpr (bits < 8) return static_cast<float>(code);
    else return toFloat<dtype>(static_cast<uint8_t>(code));
  }
  static QUANTO_DEVICE unsigned at(const uint8_t* row, int64_t column) {
    const int bit = bitOf(static_cast<int>(column % perWord));
    return row[column / perWord * 4 + bit / 8] >> (bit % 8) & mask;
  }
};

// Calls body(code) with the form of a weight.
template <class Body>
void withCode(const View& weight, int32_t bits, const Body& body) {
  switch (dtypeOf(weight)) {
    case DType::float8_e4m3fn:
      return body(Code<8, DType::float8_e4m3fn>{});
    case DType::float8_e4m3fnuz:
      return body(Code<8, DType::float8_e4m3fnuz>{});
    case DType::float8_e5m2:
      return body(Code<8, DType::float8_e5m2>{});
    default:
      return bits == 2 ? body(Code<2, DType::uint8>{}) : body(Code<4, DType::uint8>{});
  }
}

int64_t rowBytesOf(int64_t columns, int64_t bits) { return (columns * bits + 127) / 128 * 16; }

QUANTO_DEVICE_CALL float loadFloat(const void* data, DType dtype, int64_t i) { return load<float>(data, dtype, i); }

// Scales and shifts [n, count] of groups of `size` columns.
struct Groups {
  Operand scales, shifts;
  int64_t count;
  int size;
  Groups(const View& scale, const View* shift, int64_t columns, int64_t groupSize)
      : scales(scale), shifts(shift), count(groupSize > 0 ? columns / groupSize : 0), size(static_cast<int>(groupSize)) {}
  QUANTO_DEVICE float scale(int64_t row, int64_t group) const { return scales.get(row * count + group); }
  QUANTO_DEVICE float shift(int64_t row, int64_t group) const { return shifts.given() ? shifts.get(row * count + group) : 0.0f; }
};

// The group of a column that goes on to the right.
struct Walk {
  const Groups& groups;
  int64_t row, group;
  int within;
  float scale, shift;
  QUANTO_DEVICE Walk(const Groups& of, int64_t row, int64_t column)
      : groups(of), row(row), group(column / of.size), within(static_cast<int>(column % of.size)) {
    read();
  }
  QUANTO_DEVICE void read() {
    const int64_t at = row * groups.count + group;
    scale = loadFloat(groups.scales.data, groups.scales.dtype, at);
    shift = groups.shifts.given() ? loadFloat(groups.shifts.data, groups.shifts.dtype, at) : 0.0f;
  }
  // To be called before a column is taken: the group after the last one is never read.
  QUANTO_DEVICE bool enter() {
    if (within < groups.size) return false;
    within = 0;
    ++group;
    read();
    return true;
  }
};

// One load; loops go over its words without being unrolled, which would make them long.
struct Words {
  int4 loaded;
  QUANTO_DEVICE explicit Words(const uint8_t* from) : loaded(*reinterpret_cast<const int4*>(from)) {}
  QUANTO_DEVICE unsigned get(int i) const {
    return static_cast<unsigned>(i == 0 ? loaded.x : i == 1 ? loaded.y : i == 2 ? loaded.z : loaded.w);
  }
};
constexpr int kWords = 4;

// A weight on its way through a product with [m, k].
struct Layer {
  int64_t m, n, k;
  const uint8_t* weight;
  int64_t rowBytes;
  Groups groups;
  Target to;
};

constexpr int kBlockWarps = 8;

// A warp for each row of the weight, and rows of the input in shared memory, which all warps of the block read.
template <class Code, int kRows>
void multiplyFloatRows(Issue& issue, const Layer& layer, const Source& left) {
  const auto blocks = static_cast<unsigned>((layer.n + kBlockWarps - 1) / kBlockWarps);
  issue.launch(dim3(blocks, static_cast<unsigned>((layer.m + kRows - 1) / kRows)), dim3(kWarp, kBlockWarps), [=] QUANTO_DEVICE() {
    // Column `lane * perLoad + c` lies at [c][lane]: what the lanes read at once is in different banks.
    __shared__ float values[kRows][Code::perLoad][kWarp + 1];
    constexpr int kStep = kWarp * Code::perLoad;
    const int lane = static_cast<int>(threadIdx.x), thread = static_cast<int>(threadIdx.y) * kWarp + lane;
    const int64_t j = static_cast<int64_t>(blockIdx.x) * kBlockWarps + threadIdx.y, firstRow = static_cast<int64_t>(blockIdx.y) * kRows;
    const int rows = static_cast<int>(layer.m - firstRow < kRows ? layer.m - firstRow : kRows);
    float sums[kRows] = {};
    for (int64_t first = 0; first < layer.k; first += kStep) {
      for (int i = 0; i < rows; ++i) {
        for (int at = thread; at < kStep; at += kWarp * kBlockWarps)
          values[i][at % Code::perLoad][at / Code::perLoad] = first + at < layer.k ? left.get(0, firstRow + i, first + at) : 0.0f;
      }
      __syncthreads();
      const int64_t column = first + lane * Code::perLoad;
      if (j < layer.n && column < layer.k) {
        const Words words(layer.weight + j * layer.rowBytes + column * Code::bits / 8);
        Walk walk(layer.groups, j, column);
        QUANTO_ROLLED
        for (int w = 0; w < kWords; ++w) {
          const unsigned word = words.get(w);
          QUANTO_UNROLL
          for (int c = 0; c < Code::perWord; ++c) {
            const int at = w * Code::perWord + c;
            if (column + at >= layer.k) break;
            walk.enter();
            ++walk.within;
            const float value = multiplyAdd(walk.scale, Code::value(word >> Code::bitOf(c) & Code::mask), -walk.shift);
            QUANTO_UNROLL
            for (int i = 0; i < kRows; ++i) {
              if (i < rows) sums[i] = multiplyAdd(values[i][at][lane], value, sums[i]);
            }
          }
        }
      }
      __syncthreads();
    }
    QUANTO_UNROLL
    for (int i = 0; i < kRows; ++i) {
      if (i >= rows) break;
      float sum = sums[i];
      for (int distance = 1; distance < kWarp; distance *= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
      if (lane == 0 && j < layer.n) layer.to.set(0, firstRow + i, j, sum);
    }
  });
}

// From here on tiles pay, which read the weight once for many rows.
constexpr int64_t kTileRows = 17;

template <class Code>
void multiplyFloats(Issue& issue, const Layer& layer, const Source& left) {
  if (layer.m == 1) return multiplyFloatRows<Code, 1>(issue, layer, left);
  // The rows that fit in shared memory.
  if (layer.m < kTileRows) return multiplyFloatRows < Code, Code::bits == 2 ? 4 : 8 > (issue, layer, left);
  multiply(
      issue, 1, layer.m, layer.n, layer.k, [=] QUANTO_DEVICE(int64_t, int64_t i, int64_t l) { return left.get(0, i, l); },
      [=] QUANTO_DEVICE(int64_t, int64_t l, int64_t j) {
        const int64_t group = l / layer.groups.size;
        const float value = Code::value(Code::at(layer.weight + j * layer.rowBytes, l));
        return multiplyAdd(layer.groups.scale(j, group), value, -layer.groups.shift(j, group));
      },
      [=] QUANTO_DEVICE(int64_t, int64_t i, int64_t j, float sum) { layer.to.set(0, i, j, sum); });
}

// int8 rows of the input: four codes from a column on.
struct Codes {
  const int8_t* data;
  int64_t row, column, k;
  bool aligned;
  explicit Codes(const View& src)
      : data(static_cast<const int8_t*>(src.data)),
        row(src.strides[0]),
        column(src.strides[1]),
        k(src.shape[1]),
        aligned(column == 1 && row % 4 == 0 && k % 4 == 0 && isAligned16(src.data)) {}
  QUANTO_DEVICE int four(int64_t i, int64_t l) const {
    const int8_t* from = data + i * row + l * column;
    return aligned ? *reinterpret_cast<const int*>(from) : fourCodes(from, column, k - l);
  }
};

// The same for int8 rows. The sums of a group are integers; what they give is added up in double, so that it does not matter that several
// lanes share a group.
template <class Code, int kRows>
void multiplyIntegerRows(Issue& issue, const Layer& layer, const Codes& src, const Scales& srcScale) {
  // In one dimension, which may be long: there may be many rows.
  const int64_t across = (layer.n + kBlockWarps - 1) / kBlockWarps, blocks = across * ((layer.m + kRows - 1) / kRows);
  // Where a group may end within four columns, they are taken one by one.
  const int pieces = layer.groups.size % 4 == 0 ? 1 : 4;
  issue.launch(dim3(static_cast<unsigned>(blocks)), dim3(kWarp, kBlockWarps), [=] QUANTO_DEVICE() {
    const int lane = static_cast<int>(threadIdx.x);
    const int64_t block = blockIdx.x, j = block % across * kBlockWarps + threadIdx.y, firstRow = block / across * kRows;
    const int rows = static_cast<int>(layer.m - firstRow < kRows ? layer.m - firstRow : kRows);
    double totals[kRows] = {};
    for (int64_t column = lane * Code::perLoad; j < layer.n && column < layer.k; column += kWarp * Code::perLoad) {
      const Words words(layer.weight + j * layer.rowBytes + column * Code::bits / 8);
      Walk walk(layer.groups, j, column);
      int products[kRows] = {}, inputs[kRows] = {};
      float scale = walk.scale, shift = walk.shift;
      const auto finishGroup = [&] {
        QUANTO_UNROLL
        for (int i = 0; i < kRows; ++i) {
          totals[i] += static_cast<double>(scale) * products[i] - static_cast<double>(shift) * inputs[i];
          products[i] = inputs[i] = 0;
        }
        scale = walk.scale;
        shift = walk.shift;
      };
      QUANTO_ROLLED
      for (int w = 0; w < kWords; ++w) {
        const unsigned word = words.get(w);
        QUANTO_ROLLED
        for (int part = 0; part < Code::perWord / 4; ++part) {
          const int64_t l = column + w * Code::perWord + part * 4;
          if (l >= layer.k) break;
          const unsigned codes = word >> (part * Code::bits) & (Code::mask * 0x01010101u);
          int x[kRows];
          QUANTO_UNROLL
          for (int i = 0; i < kRows; ++i) x[i] = i < rows ? src.four(firstRow + i, l) : 0;
          for (int piece = 0; piece < pieces && l + piece < layer.k; ++piece) {
            if (walk.enter()) finishGroup();
            walk.within += 4 / pieces;
            const int taken = static_cast<int>(pieces == 1 ? codes : codes & (0xffu << (8 * piece)));
            const int ones = pieces == 1 ? 0x01010101 : 1 << (8 * piece);
            QUANTO_UNROLL
            for (int i = 0; i < kRows; ++i) {
              products[i] = __dp4a(x[i], taken, products[i]);
              inputs[i] = __dp4a(x[i], ones, inputs[i]);
            }
          }
        }
      }
      finishGroup();
    }
    QUANTO_UNROLL
    for (int i = 0; i < kRows; ++i) {
      if (i >= rows) break;
      double total = totals[i];
      for (int distance = 1; distance < kWarp; distance *= 2) total += __shfl_xor_sync(kAllLanes, total, distance);
      if (lane == 0 && j < layer.n) layer.to.set(0, firstRow + i, j, srcScale.get(firstRow + i) * static_cast<float>(total));
    }
  });
}

Layer layerOf(const View& src, const View& weight, const View& scale, const View* shift, const View* bias, const View& out, int32_t bits,
              int64_t groupSize) {
  const int64_t k = src.shape[1];
  return {out.shape[0],
          out.shape[1],
          k,
          static_cast<const uint8_t*>(weight.data),
          rowBytesOf(k, bits),
          Groups(scale, shift, k, groupSize),
          Target(batched(out), bias)};
}

// The codes of a weight as files have them: float8 in rows; of 2 and 4 bits row n * groups + g of [rows, groupSize], packed as by packBits.
struct FileForm {
  int64_t n, k, groupSize, groups, packedRows;
  int bits;
  FileForm(int64_t rows, int64_t columns, int32_t bits, int64_t groupSize)
      : n(rows), k(columns), groupSize(groupSize), groups(groupSize > 0 ? columns / groupSize : 0), bits(bits) {
    packedRows = (n * groups * bits + 7) / 8;
  }
  int64_t bytes() const { return bits == 8 ? n * k : packedRows * groupSize; }
};

// nvcc takes no kernel inside a generic lambda, so each form has a function of its own.
template <class Form>
void packForm(Issue& issue, const FileForm& file, const uint8_t* codes, uint32_t* words) {
  const int64_t rowWords = rowBytesOf(file.k, Form::bits) / 4;
  issue.forEach(file.n * rowWords, [=] QUANTO_DEVICE(int64_t i) {
    const int64_t j = i / rowWords, first = i % rowWords * Form::perWord;
    uint32_t word = 0;
    for (int c = 0; c < Form::perWord && first + c < file.k; ++c) {
      const int64_t l = first + c;
      uint32_t code;
      if (Form::bits == 8) {
        code = codes[j * file.k + l];
      } else {
        const int64_t row = j * file.groups + l / file.groupSize;
        const uint32_t byte = codes[row % file.packedRows * file.groupSize + l % file.groupSize];
        code = byte >> (Form::bits * (row / file.packedRows)) & Form::mask;
      }
      word |= code << Form::bitOf(c);
    }
    words[i] = word;
  });
}

template <class Form>
void unpackForm(Issue& issue, const FileForm& file, const uint8_t* packed, uint8_t* codes) {
  const int64_t rowBytes = rowBytesOf(file.k, Form::bits);
  issue.forEach(file.bytes(), [=] QUANTO_DEVICE(int64_t i) {
    if (Form::bits == 8) {
      codes[i] = static_cast<uint8_t>(Form::at(packed + i / file.k * rowBytes, i % file.k));
      return;
    }
    const int64_t column = i % file.groupSize;
    unsigned byte = 0;
    int bit = 0;
    for (int64_t row = i / file.groupSize; row < file.n * file.groups; row += file.packedRows, bit += Form::bits)
      byte |= Form::at(packed + row / file.groups * rowBytes, row % file.groups * file.groupSize + column) << bit;
    codes[i] = static_cast<uint8_t>(byte);
  });
}

}  // namespace

size_t packedBitsBytes(int64_t rows, int64_t columns, int32_t, int32_t bits, int64_t) {
  return static_cast<size_t>(rows * rowBytesOf(columns, bits));
}

// Sums are float32 at every precision.
Status linearBits(Queue* queue, const View* src, const View* weight, const View* scale, const View* shift, const View* bias,
                  const View* out, int32_t bits, int64_t groupSize, int32_t) {
  Issue issue(queue);
  if (elementCount(*out) == 0) return issue.finish();
  const Layer layer = layerOf(*src, *weight, *scale, shift, bias, *out, bits, groupSize);
  const Source left(batched(*src));
  withCode(*weight, bits, [&](auto code) { multiplyFloats<decltype(code)>(issue, layer, left); });
  return issue.finish();
}

Status linearBitsInt8(Queue* queue, const View* src, const View* srcScale, const View* weight, const View* scale, const View* shift,
                      const View* bias, const View* out, int32_t bits, int64_t groupSize) {
  Issue issue(queue);
  if (elementCount(*out) == 0) return issue.finish();
  const Layer layer = layerOf(*src, *weight, *scale, shift, bias, *out, bits, groupSize);
  CodeRows rows{};
  const Status status = codeRows(queue, issue, *src, srcScale, rows);
  if (status != Status::ok) return status;
  const Codes codes(rows.codes);
  const Scales scales(rows.scale);
  const auto run = [&](auto code) {
    if (layer.m == 1) multiplyIntegerRows<decltype(code), 1>(issue, layer, codes, scales);
    else multiplyIntegerRows<decltype(code), 4>(issue, layer, codes, scales);
  };
  if (bits == 2) run(Code<2, DType::uint8>{});
  else run(Code<4, DType::uint8>{});
  return issue.finish();
}

Status packWeightBits(Queue* queue, const View* src, const View* out, int32_t bits, int64_t groupSize) {
  Issue issue(queue);
  const FileForm file(out->shape[0], out->shape[1], bits, groupSize);
  const auto* codes = static_cast<const uint8_t*>(src->data);
  auto* words = static_cast<uint32_t*>(out->data);
  withCode(*out, bits, [&](auto code) { packForm<decltype(code)>(issue, file, codes, words); });
  return issue.finish();
}

Status unpackWeightBits(Queue* queue, const View* src, const View* out, int32_t bits, int64_t groupSize) {
  Issue issue(queue);
  const FileForm file(src->shape[0], src->shape[1], bits, groupSize);
  const auto* packed = static_cast<const uint8_t*>(src->data);
  auto* codes = static_cast<uint8_t*>(out->data);
  withCode(*src, bits, [&](auto code) { unpackForm<decltype(code)>(issue, file, packed, codes); });
  return issue.finish();
}

}  // namespace quanto::cuda
