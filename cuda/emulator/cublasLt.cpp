#include "cublasLt.h"

#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../csrc/dtype.h"
#include "emulator.h"

struct cublasLtContext {};
struct MatmulDescription {
  cublasComputeType_t compute;
  cudaDataType_t scale;
  int32_t transA = CUBLAS_OP_N, transB = CUBLAS_OP_N;
};
struct MatrixLayout {
  cudaDataType type;
  int64_t rows, columns, ld;
  int32_t batch = 1;
  int64_t offset = 0;
};
struct MatmulPreference {
  uint64_t workspace = 0;
  uint32_t alignment[4] = {256, 256, 256, 256};
};

namespace {

using namespace quanto;

int64_t bytesOf(cudaDataType type) {
  switch (type) {
    case CUDA_R_8I:
      return 1;
    case CUDA_R_16F:
    case CUDA_R_16BF:
      return 2;
    default:
      return 4;
  }
}

template <class T>
bool assign(T& target, const void* value, size_t bytes) {
  if (bytes != sizeof(T)) return false;
  std::memcpy(&target, value, bytes);
  return true;
}

cublasStatus_t validity(bool valid) { return valid ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE; }

bool isTransposed(int32_t operation) { return operation == CUBLAS_OP_T; }

// What cuBLASLt's documentation asks of a regular (column-major) int8 product, and of floats.
bool supports(const MatmulDescription& desc, const MatrixLayout& a, const MatrixLayout& b, const MatrixLayout& d) {
  const int64_t m = isTransposed(desc.transA) ? a.columns : a.rows, k = isTransposed(desc.transA) ? a.rows : a.columns;
  const int64_t n = isTransposed(desc.transB) ? b.rows : b.columns, kOfB = isTransposed(desc.transB) ? b.columns : b.rows;
  if (m != d.rows || n != d.columns || k != kOfB || m < 1 || n < 1 || k < 1) return false;
  for (const MatrixLayout* layout : {&a, &b, &d}) {
    if (layout->ld < layout->rows || layout->batch != d.batch) return false;
  }
  if (desc.compute == CUBLAS_COMPUTE_32I) {
    const bool types = a.type == CUDA_R_8I && b.type == CUDA_R_8I && d.type == CUDA_R_32I && desc.scale == CUDA_R_32I;
    const bool sizes = m % 4 == 0 && k % 4 == 0 && a.ld % 4 == 0 && b.ld % 4 == 0 && a.offset % 4 == 0 && b.offset % 4 == 0;
    return types && sizes && isTransposed(desc.transA) && !isTransposed(desc.transB);
  }
  const bool real = a.type == CUDA_R_32F || a.type == CUDA_R_16F || a.type == CUDA_R_16BF;
  return real && b.type == a.type && (d.type == a.type || d.type == CUDA_R_32F) && desc.scale == CUDA_R_32F;
}

int64_t extent(const MatrixLayout& layout) {
  return ((layout.columns - 1) * layout.ld + layout.rows + (layout.batch - 1) * layout.offset) * bytesOf(layout.type);
}

float valueAt(const void* data, cudaDataType type, int64_t i) {
  if (type == CUDA_R_16F) return toFloat<DType::float16>(static_cast<const uint16_t*>(data)[i]);
  if (type == CUDA_R_16BF) return toFloat<DType::bfloat16>(static_cast<const uint16_t*>(data)[i]);
  return static_cast<const float*>(data)[i];
}
void setAt(void* data, cudaDataType type, int64_t i, float value) {
  if (type == CUDA_R_16F) static_cast<uint16_t*>(data)[i] = fromFloat<DType::float16>(value);
  else if (type == CUDA_R_16BF) static_cast<uint16_t*>(data)[i] = fromFloat<DType::bfloat16>(value);
  else static_cast<float*>(data)[i] = value;
}

// The vectors that products are made of, side by side: row i of op(A), or column j of op(B).
template <class T, class Value>
std::vector<T> gathered(const MatrixLayout& layout, bool alongRows, int64_t count, int64_t k, int64_t batch, Value&& value) {
  std::vector<T> vectors(static_cast<size_t>(count * k));
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t l = 0; l < k; ++l)
      vectors[static_cast<size_t>(i * k + l)] = value(batch * layout.offset + (alongRows ? i * layout.ld + l : l * layout.ld + i));
  }
  return vectors;
}

template <class T>
T dot(const T* a, const T* b, int64_t k) {
  constexpr int kLanes = 8;
  T lanes[kLanes] = {};
  int64_t l = 0;
  for (; l + kLanes <= k; l += kLanes) {
    for (int i = 0; i < kLanes; ++i) lanes[i] += a[l + i] * b[l + i];
  }
  for (; l < k; ++l) lanes[0] += a[l] * b[l];
  for (int i = 1; i < kLanes; ++i) lanes[0] += lanes[i];
  return lanes[0];
}

template <class T, class ValueA, class ValueB, class Store>
void multiply(const MatmulDescription& desc, const MatrixLayout& aLayout, const MatrixLayout& bLayout, const MatrixLayout& dLayout,
              ValueA&& valueA, ValueB&& valueB, Store&& store) {
  const int64_t k = isTransposed(desc.transA) ? aLayout.rows : aLayout.columns;
  for (int64_t batch = 0; batch < dLayout.batch; ++batch) {
    const auto left = gathered<T>(aLayout, isTransposed(desc.transA), dLayout.rows, k, batch, valueA);
    const auto right = gathered<T>(bLayout, !isTransposed(desc.transB), dLayout.columns, k, batch, valueB);
    for (int64_t j = 0; j < dLayout.columns; ++j) {
      for (int64_t i = 0; i < dLayout.rows; ++i)
        store(batch * dLayout.offset + j * dLayout.ld + i, dot(left.data() + i * k, right.data() + j * k, k));
    }
  }
}

void compute(const MatmulDescription& desc, const void* a, const MatrixLayout& aLayout, const void* b, const MatrixLayout& bLayout, void* d,
             const MatrixLayout& dLayout) {
  if (aLayout.type == CUDA_R_8I) {
    multiply<int32_t>(
        desc, aLayout, bLayout, dLayout, [=](int64_t i) { return static_cast<const int8_t*>(a)[i]; },
        [=](int64_t i) { return static_cast<const int8_t*>(b)[i]; }, [=](int64_t i, int32_t sum) { static_cast<int32_t*>(d)[i] = sum; });
  } else {
    multiply<double>(
        desc, aLayout, bLayout, dLayout, [&](int64_t i) { return valueAt(a, aLayout.type, i); },
        [&](int64_t i) { return valueAt(b, bLayout.type, i); },
        [&](int64_t i, double sum) { setAt(d, dLayout.type, i, static_cast<float>(sum)); });
  }
}

bool isAligned(const void* data, uint32_t alignment) { return reinterpret_cast<uintptr_t>(data) % alignment == 0; }

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = new cublasLtContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion() { return 130100; }

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute, cudaDataType_t scale) {
  *desc = new MatmulDescription{compute, scale};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  return validity(assign(attribute == CUBLASLT_MATMUL_DESC_TRANSA ? desc->transA : desc->transB, value, bytes));
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld) {
  *layout = new MatrixLayout{type, static_cast<int64_t>(rows), static_cast<int64_t>(columns), ld};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  return validity(attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? assign(layout->batch, value, bytes)
                                                                  : assign(layout->offset, value, bytes));
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new MatmulPreference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) return validity(assign(preference->workspace, value, bytes));
  return validity(assign(preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes));
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t* results,
                                              int* found) {
  *found = 0;
  if (wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
  if (!supports(*desc, *a, *b, *d)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const uint32_t least = desc->compute == CUBLAS_COMPUTE_32I ? 4 : static_cast<uint32_t>(bytesOf(a->type));
  if (preference->alignment[0] < least || preference->alignment[1] < least) return CUBLAS_STATUS_NOT_SUPPORTED;
  *results = {};
  // What the algorithm was chosen for comes back with it, to be checked at the call.
  for (int i = 0; i < 4; ++i) results->algo.data[i] = preference->alignment[i];
  results->workspaceSize = preference->workspace < 4096 ? 0 : 4096;
  results->state = CUBLAS_STATUS_SUCCESS;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a, cublasLtMatrixLayout_t aLayout,
                              const void* b, cublasLtMatrixLayout_t bLayout, const void* beta, const void* c, cublasLtMatrixLayout_t,
                              void* d, cublasLtMatrixLayout_t dLayout, const cublasLtMatmulAlgo_t* algo, void* workspace,
                              size_t workspaceBytes, cudaStream_t stream) {
  if (!supports(*desc, *aLayout, *bLayout, *dLayout)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool isOne = desc->scale == CUDA_R_32I ? *static_cast<const int32_t*>(alpha) == 1 : *static_cast<const float*>(alpha) == 1;
  const bool isZero = desc->scale == CUDA_R_32I ? *static_cast<const int32_t*>(beta) == 0 : *static_cast<const float*>(beta) == 0;
  const void* operands[] = {a, b, c, d};
  bool aligned = isOne && isZero && algo != nullptr;
  for (int i = 0; i < 4; ++i) aligned = aligned && isAligned(operands[i], static_cast<uint32_t>(algo->data[i]));
  if (!aligned) return CUBLAS_STATUS_INVALID_VALUE;
  if (workspaceBytes > 0 && (!isAligned(workspace, 16) || !emulator::isDeviceMemory(workspace, workspaceBytes)))
    return CUBLAS_STATUS_INVALID_VALUE;
  const struct {
    const void* data;
    const MatrixLayout* layout;
  } matrices[] = {{a, aLayout}, {b, bLayout}, {d, dLayout}};
  for (const auto& [data, layout] : matrices) {
    if (emulator::isDeviceMemory(data, static_cast<size_t>(extent(*layout)))) continue;
    emulator::complain("cuBLASLt on what is no device memory", data, static_cast<size_t>(extent(*layout)));
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const auto error = emulator::enqueue(stream, [=, desc = *desc, aLayout = *aLayout, bLayout = *bLayout, dLayout = *dLayout] {
    compute(desc, a, aLayout, b, bLayout, d, dLayout);
  });
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
