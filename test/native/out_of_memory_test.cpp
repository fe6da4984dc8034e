// Every product says so when it gets no memory for its buffers: each allocation of each product fails in turn.
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "cpu/gemm/gemm.h"
#include "cpu/pool.h"
#include "every_isa.h"

using namespace quanto;
using namespace quanto::cpu;

namespace {

int64_t allocations_ = 0, failing_ = 0;

}  // namespace

// What thread buffers allocate with (cpu/scratch.cpp).
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  if (++allocations_ == failing_) return nullptr;
  const auto unit = static_cast<size_t>(alignment);
  return std::aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
}
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t, const std::nothrow_t&) noexcept { std::free(data); }

namespace {

// On a thread of its own, which has no buffers yet.
Status run(const std::function<Status()>& product, int64_t failing) {
  Status status = Status::deviceFailure;
  allocations_ = 0;
  failing_ = failing;
  std::thread([&] { status = product(); }).join();
  failing_ = 0;
  return status;
}

void eachAllocationFails(const std::string& name, const std::function<Status()>& product) {
  CHECK(run(product, 0) == Status::ok, "%s failed", name.c_str());
  const int64_t all = allocations_;
  for (int64_t failing = 1; failing <= all; ++failing) {
    CHECK(run(product, failing) == Status::outOfMemory, "%s says nothing of allocation %ld of %ld", name.c_str(), long(failing), long(all));
  }
}

void products(int64_t m, int64_t n, int64_t k) {
  const std::string size = " m=" + std::to_string(m) + " n=" + std::to_string(n) + " k=" + std::to_string(k);
  const std::vector<float> floats(k * (m + n) + n, 0.5f);
  const std::vector<uint16_t> halves(k * (m + n), 0x3800);
  const std::vector<int8_t> codes(k * (m + n), 1);
  std::vector<float> out(m * n);
  const float* bias = floats.data();
  const FloatOutput plain{out.data(), DType::float32, n, 1, bias, DType::float32, 1};
  // Columns that lie apart.
  const FloatOutput narrow{out.data(), DType::float16, 1, m, bias, DType::float32, 1};
  const Scales scales{floats.data(), DType::float32, 1}, none{nullptr, DType::float32, 0};
  const Matrix left{floats.data(), DType::float32, k, 1}, halfLeft{halves.data(), DType::float16, k, 1};
  const Matrix right{floats.data(), DType::float32, n, 1}, turned{halves.data(), DType::float16, 1, k};
  for (const FloatOutput* target : {&plain, &narrow}) {
    eachAllocationFails("floats" + size, [&] { return gemmFloat(m, n, k, left, right, *target); });
    eachAllocationFails("halves" + size, [&] { return gemmFloat(m, n, k, halfLeft, turned, *target); });

    std::vector<int8_t> packed(packedInt8Bytes(n, k));
    packInt8(n, k, codes.data(), k, 1, packed.data());
    const Int8Output activated{*target, DType::float32, Activation::gelu, {}};
    for (const Int8Weight& weight : {Int8Weight{packed.data(), 0, 0, true}, Int8Weight{codes.data(), k, 1, false}}) {
      for (const Precision precision : {Precision::highest, Precision::high}) {
        eachAllocationFails("int8 weights" + size, [&] { return gemmWeightOnly(m, n, k, left, weight, scales, *target, precision); });
      }
      const Int8Source dynamic{floats.data(), DType::float32, k, 1, {}};
      eachAllocationFails("int8 layer" + size, [&] { return gemmInt8Scaled(m, n, k, dynamic, weight, scales, activated); });
      std::vector<int32_t> sums(m * n);
      eachAllocationFails("int8" + size, [&] { return gemmInt8(m, n, k, codes.data(), k, 1, weight, sums.data(), n, 1); });
    }
  }
  for (const int32_t bits : {2, 4, 8}) {
    // More groups than a product holds scales of at a time, and one.
    for (const int64_t groupSize : {int64_t{4}, k}) {
      BitsWeight weight{nullptr, bits == 8 ? DType::float8_e4m3fn : DType::uint8, bits, groupSize};
      const std::vector<uint8_t> file(n * k + 16, 0x11);
      std::vector<uint8_t> packed(packedBitsBytes(n, k, weight));
      packBitsWeight(n, k, weight, file.data(), packed.data());
      weight.data = packed.data();
      const std::vector<float> grouped(n * (k / groupSize), 0.5f);
      const Scales groupScales{grouped.data(), DType::float32, 1}, shifts = bits == 8 ? none : groupScales;
      const std::string name = std::to_string(bits) + " bits in groups of " + std::to_string(groupSize) + size;
      eachAllocationFails(name, [&] { return gemmBits(m, n, k, left, weight, groupScales, shifts, plain); });
      if (bits == 8) continue;
      const Int8Source dynamic{floats.data(), DType::float32, k, 1, {}};
      eachAllocationFails("int8 by " + name, [&] { return gemmBitsInt8(m, n, k, dynamic, weight, groupScales, shifts, plain); });
    }
  }
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  setThreadCount(1);
  for (const int64_t m : {1, 3, 40, 100}) {
    for (const int64_t n : {3, 70}) products(m, n, 200);
  }
  return check::report("out_of_memory_test");
}
