#include "blas_lt.h"

#if defined(__CUDACC__)
#include <dlfcn.h>
#endif
// `npm run build:cuda -- --check` has no headers of cuBLASLt.
#if defined(__CUDACC__) && !defined(QUANTO_CUDA_CHECK)
#include <cublasLt.h>
#else
#include "emulator/cublasLt.h"
#endif

#include <array>
#include <cstdlib>
#include <map>
#include <string>

#include "backend.h"

namespace quanto::cuda {

namespace {

// clang-format off
#define QUANTO_BLASLT_CALLS(CALL) \
  CALL(cublasLtCreate) CALL(cublasLtDestroy) CALL(cublasLtGetVersion) CALL(cublasLtMatmulDescCreate) \
  CALL(cublasLtMatmulDescDestroy) CALL(cublasLtMatmulDescSetAttribute) CALL(cublasLtMatrixLayoutCreate) \
  CALL(cublasLtMatrixLayoutDestroy) CALL(cublasLtMatrixLayoutSetAttribute) CALL(cublasLtMatmulPreferenceCreate) \
  CALL(cublasLtMatmulPreferenceDestroy) CALL(cublasLtMatmulPreferenceSetAttribute) CALL(cublasLtMatmulAlgoGetHeuristic) \
  CALL(cublasLtMatmul)
// clang-format on

struct Library {
#define CALL(name) decltype(&::name) name = nullptr;
  QUANTO_BLASLT_CALLS(CALL)
#undef CALL
  bool found = false;
  std::string description;
};

const char* const kMissing =
    "cuBLASLt not found (libcublasLt.so.13 or .12): matrix products run on the plugin's own kernels; install the CUDA toolkit's cuBLAS, or "
    "set "
    "CUDA_PATH to where it is";

#if defined(__CUDACC__)
// A copy that the process has loaded already serves first; then the loader's own search, then the toolkit's folders.
void* openLibrary(std::string& where) {
  const char* home = std::getenv("CUDA_PATH");
  for (const int mode : {RTLD_NOW | RTLD_NOLOAD, RTLD_NOW}) {
    for (const std::string& folder :
         {std::string(), home ? std::string(home) + "/lib64/" : std::string(), std::string("/usr/local/cuda/lib64/")}) {
      for (const char* name : {"libcublasLt.so.13", "libcublasLt.so.12"}) {
        where = folder + name;
        if (void* library = dlopen(where.c_str(), mode | RTLD_LOCAL)) return library;
      }
    }
  }
  return nullptr;
}

Library findLibrary() {
  Library library;
  std::string where;
  void* handle = openLibrary(where);
  library.description = kMissing;
  if (!handle) return library;
  library.found = true;
#define CALL(name) library.found = library.found && (library.name = reinterpret_cast<decltype(&::name)>(dlsym(handle, #name))) != nullptr;
  QUANTO_BLASLT_CALLS(CALL)
#undef CALL
  library.description = library.found ? "cuBLASLt " + std::to_string(library.cublasLtGetVersion()) + " (" + where + ")"
                                      : where + " lacks calls that quanto makes";
  return library;
}
#else
Library findLibrary() {
  Library library;
  const char* present = std::getenv("QUANTO_CUDA_EMULATE_CUBLASLT");
  library.found = !present || std::string(present) != "0";
#define CALL(name) library.name = &::name;
  QUANTO_BLASLT_CALLS(CALL)
#undef CALL
  library.description = library.found ? "cuBLASLt " + std::to_string(library.cublasLtGetVersion()) + " (emulated)" : kMissing;
  return library;
}
#endif

const Library& library() {
  static const Library& only = *new Library(findLibrary());
  return only;
}

constexpr size_t kWorkspaceBytes = size_t{32} << 20;

// Everything that a plan depends on: the type, m, n, k, transposes, leading dimensions, batch and its strides, alignments.
using Key = std::array<int64_t, 16>;

struct Plan {
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
  cublasLtMatmulAlgo_t algo{};
  size_t workspace = 0;
  bool usable = false;
};

// Of one device; guarded by its queue's mutex.
struct Context {
  cublasLtHandle_t handle = nullptr;
  std::map<Key, Plan> plans;
};

std::map<DeviceQueue*, Context>& contexts() {
  static auto& all = *new std::map<DeviceQueue*, Context>;
  return all;
}
std::mutex& contextsMutex() {
  static auto& mutex = *new std::mutex;
  return mutex;
}

Context* contextOf(DeviceQueue& queue) {
  std::lock_guard<std::mutex> lock(contextsMutex());
  Context& context = contexts()[&queue];
  if (!context.handle && library().cublasLtCreate(&context.handle) != CUBLAS_STATUS_SUCCESS) return nullptr;
  return &context;
}

int64_t alignmentOf(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data) | 256;
  return static_cast<int64_t>(address & (~address + 1));
}

// One operand as cuBLASLt sees it: column-major, perhaps transposed. `fast` is the dim (1 or 2) whose neighbours lie side by side.
struct Side {
  bool usable, transposed;
  int64_t rows, columns, ld, batchStride;
};

Side sideOf(const View& view, int leading) {
  const int other = 3 - leading;
  const auto fits = [&](int fast, int slow) {
    return (view.strides[fast] == 1 || view.shape[fast] == 1) && (view.strides[slow] >= view.shape[fast] || view.shape[slow] == 1);
  };
  const auto made = [&](int fast, int slow, bool transposed) {
    const int64_t ld = view.shape[slow] == 1 ? view.shape[fast] : view.strides[slow];
    return Side{true, transposed, view.shape[fast], view.shape[slow], ld, view.strides[0]};
  };
  if (fits(leading, other)) return made(leading, other, false);
  if (fits(other, leading)) return made(other, leading, true);
  return {};
}

bool typeOf(DType dtype, cudaDataType& type) {
  switch (dtype) {
    case DType::float32:
      type = CUDA_R_32F;
      return true;
    case DType::float16:
      type = CUDA_R_16F;
      return true;
    case DType::bfloat16:
      type = CUDA_R_16BF;
      return true;
    case DType::int8:
      type = CUDA_R_8I;
      return true;
    case DType::int32:
      type = CUDA_R_32I;
      return true;
    default:
      return false;
  }
}

bool makeLayout(cublasLtMatrixLayout_t* layout, cudaDataType type, int64_t rows, int64_t columns, int64_t ld, int64_t batch,
                int64_t stride) {
  const Library& lt = library();
  const auto count = static_cast<int32_t>(batch);
  return lt.cublasLtMatrixLayoutCreate(layout, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), ld) ==
             CUBLAS_STATUS_SUCCESS &&
         lt.cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count) == CUBLAS_STATUS_SUCCESS &&
         lt.cublasLtMatrixLayoutSetAttribute(*layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride) ==
             CUBLAS_STATUS_SUCCESS;
}

void destroy(Plan& plan) {
  const Library& lt = library();
  if (plan.desc) lt.cublasLtMatmulDescDestroy(plan.desc);
  for (cublasLtMatrixLayout_t layout : {plan.a, plan.b, plan.d}) {
    if (layout) lt.cublasLtMatrixLayoutDestroy(layout);
  }
}

struct Product {
  cudaDataType type, outType;
  Side a, b;  // the library's A and B: our right and left operand
  int64_t m, n, outLd, outStride, batch;
  const void *aData, *bData;
  void* out;

  Key key() const {
    return {type,
            outType,
            m,
            n,
            a.rows,
            a.ld,
            a.batchStride,
            a.transposed,
            b.rows,
            b.ld,
            b.batchStride,
            b.transposed,
            batch,
            outLd,
            alignmentOf(aData) << 20 | alignmentOf(bData) << 10 | alignmentOf(out),
            outStride};
  }
};

Plan makePlan(cublasLtHandle_t handle, const Product& product) {
  const Library& lt = library();
  Plan plan;
  const bool integers = product.type == CUDA_R_8I;
  const int32_t transA = product.a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N, transB = product.b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  cublasLtMatmulPreference_t preference = nullptr;
  const bool made =
      lt.cublasLtMatmulDescCreate(&plan.desc, integers ? CUBLAS_COMPUTE_32I : CUBLAS_COMPUTE_32F, integers ? CUDA_R_32I : CUDA_R_32F) ==
          CUBLAS_STATUS_SUCCESS &&
      lt.cublasLtMatmulDescSetAttribute(plan.desc, CUBLASLT_MATMUL_DESC_TRANSA, &transA, sizeof transA) == CUBLAS_STATUS_SUCCESS &&
      lt.cublasLtMatmulDescSetAttribute(plan.desc, CUBLASLT_MATMUL_DESC_TRANSB, &transB, sizeof transB) == CUBLAS_STATUS_SUCCESS &&
      makeLayout(&plan.a, product.type, product.a.rows, product.a.columns, product.a.ld, product.batch, product.a.batchStride) &&
      makeLayout(&plan.b, product.type, product.b.rows, product.b.columns, product.b.ld, product.batch, product.b.batchStride) &&
      makeLayout(&plan.d, product.outType, product.m, product.n, product.outLd, product.batch, product.outStride) &&
      lt.cublasLtMatmulPreferenceCreate(&preference) == CUBLAS_STATUS_SUCCESS;
  if (made) {
    const uint64_t workspace = kWorkspaceBytes;
    const uint32_t alignments[] = {static_cast<uint32_t>(alignmentOf(product.aData)), static_cast<uint32_t>(alignmentOf(product.bData)),
                                   static_cast<uint32_t>(alignmentOf(product.out)), static_cast<uint32_t>(alignmentOf(product.out))};
    constexpr cublasLtMatmulPreferenceAttributes_t kAlignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    lt.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    for (int i = 0; i < 4; ++i) lt.cublasLtMatmulPreferenceSetAttribute(preference, kAlignments[i], &alignments[i], sizeof alignments[i]);
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    plan.usable = lt.cublasLtMatmulAlgoGetHeuristic(handle, plan.desc, plan.a, plan.b, plan.d, plan.d, preference, 1, &result, &found) ==
                      CUBLAS_STATUS_SUCCESS &&
                  found == 1 && result.state == CUBLAS_STATUS_SUCCESS;
    plan.algo = result.algo;
    plan.workspace = result.workspaceSize;
  }
  if (preference) lt.cublasLtMatmulPreferenceDestroy(preference);
  return plan;
}

// Shapes that change at every call (a growing cache of keys) must not grow the cache of plans without end.
constexpr size_t kMostPlans = 512;

}  // namespace

const char* describeBlasLt() { return library().description.c_str(); }

void closeBlasLt(DeviceQueue& queue) {
  std::lock_guard<std::mutex> lock(contextsMutex());
  const auto found = contexts().find(&queue);
  if (found == contexts().end()) return;
  for (auto& [key, plan] : found->second.plans) destroy(plan);
  if (found->second.handle) library().cublasLtDestroy(found->second.handle);
  contexts().erase(found);
}

// Row-major out = a x b is column-major out^T = b^T x a^T, so nothing is transposed in memory: the library's A is our b.
bool multiplyByBlasLt(Issue& issue, Queue* handle, const View& a, const View& b, const View& out) {
  if (issue.failed() || !library().found) return false;
  Product product{};
  if (!typeOf(dtypeOf(a), product.type) || dtypeOf(b) != dtypeOf(a) || !typeOf(dtypeOf(out), product.outType)) return false;
  product.a = sideOf(b, 2);
  product.b = sideOf(a, 2);
  product.m = out.shape[2];
  product.n = out.shape[1];
  product.batch = out.shape[0];
  if (product.type == CUDA_R_8I) {
    // The integer kernels take one form only. A single row or column may be read either way.
    if (!product.a.transposed && b.shape[2] == 1) product.a = {true, true, b.shape[1], 1, b.shape[1], b.strides[0]};
    if (!product.a.transposed || product.b.transposed || product.m % 4 != 0 || a.shape[2] % 4 != 0) return false;
    if (product.a.ld % 4 != 0 || product.b.ld % 4 != 0) return false;
    if (product.batch > 1 && (product.a.batchStride % 4 != 0 || product.b.batchStride % 4 != 0)) return false;
  }
  const bool rows = out.strides[2] == 1 && (out.strides[1] >= out.shape[2] || out.shape[1] == 1);
  if (!product.a.usable || !product.b.usable || !rows || a.shape[2] == 0 || out.shape[0] > 65535) return false;
  product.outLd = out.shape[1] == 1 ? out.shape[2] : out.strides[1];
  product.outStride = out.strides[0];
  product.aData = b.data;
  product.bData = a.data;
  product.out = out.data;

  Context* context = contextOf(deviceQueue(handle));
  if (!context) return false;
  const Key key = product.key();
  auto found = context->plans.find(key);
  if (found == context->plans.end()) {
    if (context->plans.size() >= kMostPlans) {
      for (auto& [old, plan] : context->plans) destroy(plan);
      context->plans.clear();
    }
    found = context->plans.emplace(key, makePlan(context->handle, product)).first;
  }
  const Plan& plan = found->second;
  if (!plan.usable) return false;
  void* workspace = plan.workspace > 0 ? issue.scratch(Scratch::workspace, plan.workspace) : nullptr;
  if (issue.failed()) return false;
  const float one = 1, zero = 0;
  const int32_t integerOne = 1, integerZero = 0;
  const bool integers = product.type == CUDA_R_8I;
  const void *alpha = integers ? static_cast<const void*>(&integerOne) : &one,
             *beta = integers ? static_cast<const void*>(&integerZero) : &zero;
  return library().cublasLtMatmul(context->handle, plan.desc, alpha, product.aData, plan.a, product.bData, plan.b, beta, product.out,
                                  plan.d, product.out, plan.d, &plan.algo, workspace, plan.workspace,
                                  issue.stream()) == CUBLAS_STATUS_SUCCESS;
}

}  // namespace quanto::cuda
