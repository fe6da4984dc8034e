// The emulator and the stand-ins: what they compute, and that they find misuse. Each misuse here is meant.
#include "../../cuda/emulator/emulator.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../../cuda/backend.h"
#include "../../cuda/block.h"
#include "../../cuda/device.h"
#include "../../cuda/emulator/cublasLt.h"
#include "../native/check.h"

using namespace quanto;
using quanto::emulator::takeComplaints;

extern "C" const Backend* quantoOpenBackend();

namespace {

const Backend& backend() { return *quantoOpenBackend(); }

bool complained(const char* what) {
  const char* complaints = takeComplaints();
  return complaints && std::string(complaints).find(what) != std::string::npos;
}

View vectorOf(void* data, int64_t size, DType dtype = DType::float32) {
  View view{};
  view.data = data;
  view.dtype = static_cast<int32_t>(dtype);
  view.ndim = 1;
  view.shape[0] = size;
  view.strides[0] = 1;
  return view;
}

// Sums a block of any size through shared memory and shuffles.
void testBlocks() {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  for (const int threads : {32, 64, 96, 256, 1024}) {
    void* memory;
    cudaMalloc(&memory, sizeof(int));
    int* const result = static_cast<int*>(memory);
    cuda::launch(dim3(3), dim3(threads), stream, [=] {
      __shared__ int values[1024];
      const int thread = static_cast<int>(threadIdx.x);
      values[thread] = thread + static_cast<int>(blockIdx.x);
      __syncthreads();
      // Every thread reads what others wrote.
      int value = values[threads - 1 - thread];
      __syncthreads();
      for (int distance = 1; distance < 32; distance *= 2) value += __shfl_xor_sync(0xffffffffu, value, distance);
      values[thread] = value;
      __syncthreads();
      int total = 0;
      for (int warp = 0; warp < threads / 32; ++warp) total += values[warp * 32];
      if (thread == 0 && blockIdx.x == 2) *result = total;
    });
    cudaStreamSynchronize(stream);
    const int wanted = threads * (threads - 1) / 2 + 2 * threads;
    CHECK(*result == wanted, "%d threads sum to %d instead of %d", threads, *result, wanted);
    cudaFree(memory);
  }
  CHECK(__dp4a(0x7f80ff01, 0x02fe03ff, 10) == 10 - 1 - 3 + 256 + 254, "dp4a of signed bytes");
  CHECK(cuda::launch(dim3(1), dim3(1025), stream, [] {}) != cudaSuccess, "a block of 1025 threads");
  CHECK(cuda::launch(dim3(0), dim3(32), stream, [] {}) != cudaSuccess, "an empty grid");
  cudaStreamDestroy(stream);
  CHECK(cuda::launch(dim3(1), dim3(32), stream, [] {}) == cudaErrorInvalidResourceHandle, "a stream that is gone");
}

// One block that sums again and again uses the same shared memory.
void testRepeatedSums() {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  void* memory;
  cudaMalloc(&memory, 3 * sizeof(double));
  auto* const sums = static_cast<double*>(memory);
  cuda::launch(dim3(1), dim3(128), stream, [=] {
    for (int i = 0; i < 3; ++i) {
      const double sum = cuda::sumBlock(static_cast<double>(threadIdx.x) + i);
      if (threadIdx.x == 127) sums[i] = sum;
    }
  });
  cudaStreamSynchronize(stream);
  for (int i = 0; i < 3; ++i) CHECK(sums[i] == 127 * 64 + 128 * i, "sum %d is %g", i, sums[i]);
  cudaFree(memory);
  cudaStreamDestroy(stream);
}

// Work waits until somebody waits for it, as it may on a GPU.
void testStreamOrder() {
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  void *device, *pinned;
  cudaMalloc(&device, 64);
  cudaMallocHost(&pinned, 64);
  std::memset(pinned, 1, 64);
  cudaMemcpyAsync(device, pinned, 64, cudaMemcpyHostToDevice, stream);
  CHECK(static_cast<char*>(device)[0] != 1, "the copy did not wait for its turn");
  std::memset(pinned, 2, 64);
  cudaStreamSynchronize(stream);
  CHECK(static_cast<char*>(device)[0] == 2, "pinned memory that was overwritten too early must be found out");
  cudaFreeHost(pinned);
  cudaFree(device);
  cudaStreamDestroy(stream);
}

void testMisuse() {
  Queue* queue = backend().openQueue(0);
  const size_t before = emulator::liveDeviceBytes();
  auto* data = static_cast<float*>(backend().allocate(0, 256));
  float host[128] = {};
  CHECK(backend().copyFromHost(queue, data, host, 256) == Status::ok, "a copy that fits");
  CHECK(takeComplaints() == nullptr, "nothing to complain of yet");

  CHECK(backend().copyFromHost(queue, data, host, 260) == Status::deviceFailure, "a copy beyond the end");
  CHECK(complained("copy to what is no device memory"), "the copy beyond the end is told of");
  CHECK(backend().copyToHost(queue, host, data + 1, 256) == Status::deviceFailure, "a read beyond the end");
  CHECK(complained("copy from what is no device memory"), "the read beyond the end is told of");

  const View tooLong = vectorOf(data, 65);
  CHECK(backend().fill(queue, &tooLong, 1) == Status::deviceFailure, "an operand beyond the end");
  CHECK(complained("an operand lies in no memory"), "the operand is told of");

  // A kernel that writes where its view does not reach.
  cudaStream_t stream;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  auto* other = static_cast<float*>(backend().allocate(0, 256));
  cuda::launch(dim3(1), dim3(32), stream, [=] { other[64 + threadIdx.x] = 1; });
  backend().release(0, other, 256);
  CHECK(complained("wrote beyond the end of a block"), "the write beyond the end is told of");
  cudaStreamDestroy(stream);

  backend().release(0, data, 256);
  CHECK(takeComplaints() == nullptr, "a first free");
  backend().release(0, data, 256);
  CHECK(complained("was freed before"), "a second free is told of");
  const View freed = vectorOf(data, 64);
  CHECK(backend().fill(queue, &freed, 1) == Status::deviceFailure, "use after free");
  CHECK(complained("an operand lies in no memory"), "use after free is told of");
  CHECK(backend().copyToHost(queue, host, data, 4) == Status::deviceFailure, "a copy after free");
  CHECK(complained("copy from"), "a copy after free is told of");

  void* pageable = std::malloc(64);
  void* device;
  cudaMalloc(&device, 64);
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  CHECK(cudaMemcpyAsync(device, pageable, 64, cudaMemcpyHostToDevice, stream) != cudaSuccess, "pageable memory");
  CHECK(complained("not pinned"), "pageable memory is told of");
  cudaStreamDestroy(stream);
  cudaFree(device);
  std::free(pageable);

  CHECK(backend().allocate(0, size_t{1} << 50) == nullptr, "more memory than there is");
  CHECK(emulator::liveDeviceBytes() == before, "%zu bytes are left", emulator::liveDeviceBytes() - before);
  backend().closeQueue(queue);
  CHECK(emulator::liveDeviceBytes() == 0, "the last queue leaves %zu bytes", emulator::liveDeviceBytes());
}

struct LtCase {
  const char* what;
  uint64_t m, n, k;
  int64_t lda, ldb, ldd;
  int32_t transA, transB;
  bool refused;
};

// Integer products that cuBLASLt takes, and does not.
void testBlasLt() {
  const LtCase cases[] = {
      {"16 x 3 x 16", 16, 3, 16, 16, 16, 16, 1, 0, false},
      {"sizes that are multiples of 4", 4, 1, 4, 4, 4, 4, 1, 0, false},
      {"k = 15", 16, 3, 15, 16, 16, 16, 1, 0, true},
      {"m = 15", 15, 3, 16, 16, 16, 15, 1, 0, true},
      {"a leading dimension of 18", 16, 3, 16, 18, 16, 16, 1, 0, true},
      {"a leading dimension smaller than the rows", 16, 3, 16, 12, 16, 16, 1, 0, true},
      {"a left operand that is not transposed", 16, 3, 16, 16, 16, 16, 0, 0, true},
  };
  for (const LtCase& c : cases) {
    cublasLtMatmulDesc_t desc;
    cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32I, CUDA_R_32I);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSA, &c.transA, sizeof c.transA);
    cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_TRANSB, &c.transB, sizeof c.transB);
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatrixLayoutCreate(&a, CUDA_R_8I, c.transA ? c.k : c.m, c.transA ? c.m : c.k, c.lda);
    cublasLtMatrixLayoutCreate(&b, CUDA_R_8I, c.k, c.n, c.ldb);
    cublasLtMatrixLayoutCreate(&d, CUDA_R_32I, c.m, c.n, c.ldd);
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    const bool refused = cublasLtMatmulAlgoGetHeuristic(nullptr, desc, a, b, d, d, preference, 1, &result, &found) != CUBLAS_STATUS_SUCCESS;
    CHECK(refused == c.refused, "%s", c.what);
    if (!refused) {
      // Memory less aligned than the algorithm was chosen for.
      const int32_t one = 1, zero = 0;
      alignas(256) char memory[512];
      CHECK(cublasLtMatmul(nullptr, desc, &one, memory + 16, a, memory, b, &zero, memory, d, memory, d, &result.algo, nullptr, 0,
                           nullptr) == CUBLAS_STATUS_INVALID_VALUE,
            "%s: alignment", c.what);
    }
    cublasLtMatmulDescDestroy(desc);
    for (cublasLtMatrixLayout_t layout : {a, b, d}) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulPreferenceDestroy(preference);
  }
}

// int8 products of awkward sizes, by the library's tiles, by ours, and for a few rows.
void testIntegerProducts() {
  Queue* queue = backend().openQueue(0);
  check::Random random(7);
  for (const int64_t m : {1, 3, 8, 9, 17, 33}) {
    for (const int64_t n : {1, 4, 7, 16, 33}) {
      for (const int64_t k : {1, 4, 15, 16, 64, 127, 528}) {
        std::vector<int8_t> x(m * k), w(n * k);
        for (auto& code : x) code = random.code();
        for (auto& code : w) code = random.code();
        const float xScale = 0.5f, wScale = 0.25f;
        const auto bytesOf = [](size_t bytes) { return backend().allocate(0, bytes); };
        void *xData = bytesOf(x.size()), *wData = bytesOf(w.size()), *out = bytesOf(m * n * 4), *scales = bytesOf(8);
        backend().copyFromHost(queue, xData, x.data(), x.size());
        backend().copyFromHost(queue, wData, w.data(), w.size());
        backend().copyFromHost(queue, scales, &xScale, 4);
        backend().copyFromHost(queue, static_cast<char*>(scales) + 4, &wScale, 4);
        const auto matrix = [](void* data, int64_t rows, int64_t columns, DType dtype) {
          View view = vectorOf(data, rows, dtype);
          view.ndim = 2;
          view.shape[1] = columns;
          view.strides[0] = columns;
          view.strides[1] = 1;
          return view;
        };
        const View src = matrix(xData, m, k, DType::int8), weight = matrix(wData, n, k, DType::int8),
                   target = matrix(out, m, n, DType::float32);
        const View srcScale = vectorOf(scales, 1), weightScale = vectorOf(static_cast<float*>(scales) + 1, 1);
        CHECK(backend().linearInt8(queue, &src, &srcScale, &weight, &weightScale, nullptr, nullptr, &target, 0) == Status::ok,
              "linearInt8");
        std::vector<float> got(m * n);
        backend().copyToHost(queue, got.data(), out, got.size() * 4);
        bool equal = true;
        for (int64_t i = 0; i < m; ++i) {
          for (int64_t j = 0; j < n; ++j) {
            int32_t sum = 0;
            for (int64_t l = 0; l < k; ++l) sum += x[i * k + l] * w[j * k + l];
            equal = equal && got[i * n + j] == static_cast<float>(sum) * (xScale * wScale);
          }
        }
        CHECK(equal, "linearInt8 of %ld x %ld x %ld", static_cast<long>(m), static_cast<long>(n), static_cast<long>(k));
        for (void* data : {xData, wData, out, scales}) backend().release(0, data, 0);
      }
    }
  }
  CHECK(takeComplaints() == nullptr, "the products misuse nothing");
  backend().closeQueue(queue);
}

// Quantization, product, activation and quantization of the result in one slot, against the same steps on the host.
void testFusedLinear() {
  Queue* queue = backend().openQueue(0);
  check::Random random(8);
  constexpr int64_t m = 5, n = 7, k = 33;
  std::vector<float> x(m * k), scales = {0.01f, 0.02f, 0.05f};
  std::vector<int8_t> w(n * k);
  for (auto& value : x) value = random.symmetric();
  for (auto& code : w) code = random.code();
  std::fill(x.begin() + k, x.begin() + 2 * k, 0.0f);
  void *xData = backend().allocate(0, x.size() * 4), *wData = backend().allocate(0, w.size());
  void *scaleData = backend().allocate(0, scales.size() * 4), *out = backend().allocate(0, m * n * 4);
  backend().copyFromHost(queue, xData, x.data(), x.size() * 4);
  backend().copyFromHost(queue, wData, w.data(), w.size());
  backend().copyFromHost(queue, scaleData, scales.data(), scales.size() * 4);
  const auto matrix = [](void* data, int64_t rows, int64_t columns, DType dtype) {
    View view = vectorOf(data, rows, dtype);
    view.ndim = 2;
    view.shape[1] = columns;
    view.strides[0] = columns;
    view.strides[1] = 1;
    return view;
  };
  const auto scaleAt = [&](int i) { return vectorOf(static_cast<float*>(scaleData) + i, 1); };
  const View src = matrix(xData, m, k, DType::float32), weight = matrix(wData, n, k, DType::int8);
  const View srcScale = scaleAt(0), weightScale = scaleAt(1), outScale = scaleAt(2);
  const auto code = [](float value, float scale) {
    return scale == 0 ? 0.0f : std::fmin(std::fmax(std::nearbyint(value / scale), -128.0f), 127.0f);
  };
  for (const bool dynamic : {false, true}) {
    for (const bool codes : {false, true}) {
      const View target = matrix(out, m, n, codes ? DType::int8 : DType::float32);
      CHECK(backend().linearInt8(queue, &src, dynamic ? nullptr : &srcScale, &weight, &weightScale, nullptr, codes ? &outScale : nullptr,
                                 &target, static_cast<int32_t>(Activation::relu)) == Status::ok,
            "linearInt8 of floats");
      std::vector<float> floats(m * n);
      std::vector<int8_t> bytes(m * n);
      backend().copyToHost(queue, codes ? static_cast<void*>(bytes.data()) : floats.data(), out, codes ? m * n : m * n * 4);
      for (int64_t i = 0; i < m; ++i) {
        float largest = 0;
        for (int64_t l = 0; l < k; ++l) largest = std::fmax(largest, std::fabs(x[i * k + l]));
        const float scale = dynamic ? largest / 127 : scales[0];
        for (int64_t j = 0; j < n; ++j) {
          int32_t sum = 0;
          for (int64_t l = 0; l < k; ++l) sum += static_cast<int32_t>(code(x[i * k + l], scale)) * w[j * k + l];
          const float value = std::fmax(static_cast<float>(sum) * (scale * scales[1]), 0.0f),
                      expected = codes ? code(value, scales[2]) : value;
          const float got = codes ? bytes[i * n + j] : floats[i * n + j];
          CHECK(got == expected, "linearInt8 of floats (dynamic %d, codes %d) at %ld,%ld: %g expected %g", dynamic, codes,
                static_cast<long>(i), static_cast<long>(j), got, expected);
        }
      }
    }
  }
  for (void* data : {xData, wData, scaleData, out}) backend().release(0, data, 0);
  CHECK(takeComplaints() == nullptr, "the fused layer misuses nothing");
  backend().closeQueue(queue);
}

// Sums of rows through shared memory: what the race detector is to watch.
void testReductions() {
  Queue* queue = backend().openQueue(0);
  for (const int64_t n : {1, 31, 33, 127, 300, 1000, 40000}) {
    std::vector<float> x(3 * n);
    for (int64_t i = 0; i < 3 * n; ++i) x[i] = static_cast<float>(i % 7);
    void *data = backend().allocate(0, x.size() * 4), *out = backend().allocate(0, 12);
    backend().copyFromHost(queue, data, x.data(), x.size() * 4);
    View src = vectorOf(data, 3);
    src.ndim = 2;
    src.shape[1] = n;
    src.strides[0] = n;
    src.strides[1] = 1;
    const View target = vectorOf(out, 3);
    CHECK(backend().reduce(queue, static_cast<int32_t>(ReduceOp::sum), &src, &target, 1, 0) == Status::ok, "reduce");
    float sums[3];
    backend().copyToHost(queue, sums, out, sizeof sums);
    for (int row = 0; row < 3; ++row) {
      double wanted = 0;
      for (int64_t i = 0; i < n; ++i) wanted += x[row * n + i];
      CHECK(sums[row] == static_cast<float>(wanted), "sum of %ld: %g instead of %g", static_cast<long>(n), sums[row], wanted);
    }
    backend().release(0, data, 0);
    backend().release(0, out, 0);
  }
  backend().closeQueue(queue);
}

}  // namespace

int main() {
  setenv("QUANTO_CUDA_EMULATE_QUIET", "1", 1);
  unsetenv("QUANTO_VISIBLE_DEVICES");
  testBlocks();
  testRepeatedSums();
  testStreamOrder();
  testMisuse();
  testBlasLt();
  testIntegerProducts();
  testFusedLinear();
  testReductions();
  return check::report("emulator");
}
