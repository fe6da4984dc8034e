// Convolutions of int8 codes, and those with steps behind them, on the CPU.
#include "conv_cases.h"
#include "cpu/backend.h"
#include "every_isa.h"

using namespace quanto;
using namespace test;

namespace {

const View* view(const Tensor* tensor) { return tensor ? static_cast<const View*>(*tensor) : nullptr; }

// The weight, row-major or packed into memory that outlives the view.
View weightOf(const conv::Call& call, bool packs, Tensor& packed) {
  const Tensor& weight = *call.weight;
  View weightView = *view(&weight);
  if (!packs) return weightView;
  CHECK(cpu::packConvWeight(nullptr, weight, packed) == Status::ok, "packConvWeight failed");
  Tensor back(DType::int8, weight.shape());
  weightView.data = packed.view().data;
  weightView.layout = Layout::packed;
  CHECK(cpu::unpackConvWeight(nullptr, &weightView, back) == Status::ok, "unpackConvWeight failed");
  CHECK(back.values() == weight.values(), "unpackConvWeight gives other codes");
  return weightView;
}

Tensor packedMemory(const conv::Call& call) {
  const Shape& shape = call.weight->shape();
  return Tensor(DType::uint8, {static_cast<int64_t>(cpu::cpuBackend()->packedConvBytes(shape[0], shape[1], shape[2] * shape[3]))});
}

void runInt8(const conv::Call& call, bool packs, Tensor& out) {
  Tensor packed = packedMemory(call);
  const View weight = weightOf(call, packs, packed);
  onThreads("conv2dInt8", out, [&](Tensor& target) {
    return cpu::conv2dInt8(nullptr, *call.src, *call.srcScale, &weight, *call.scale, view(call.bias), view(call.normScale),
                           view(call.normShift), view(call.addend), target, view(call.outScale), call.window, call.activation);
  });
}

void runWeightOnly(const conv::Call& call, bool packs, Tensor& out) {
  Tensor packed = packedMemory(call);
  const View weight = weightOf(call, packs, packed);
  onThreads("conv2dWeightOnly", out, [&](Tensor& target) {
    return cpu::conv2dWeightOnly(nullptr, *call.src, &weight, *call.scale, view(call.bias), view(call.normScale), view(call.normShift),
                                 view(call.addend), target, call.window, call.activation);
  });
}

void runFused(const conv::Call& call, Tensor& out) {
  onThreads("conv2dFused", out, [&](Tensor& target) {
    return cpu::conv2dFused(nullptr, *call.src, *call.weight, view(call.bias), view(call.normScale), view(call.normShift),
                            view(call.addend), target, call.window, call.activation);
  });
}

}  // namespace

int main(int, char** argv) {
  if (const int* status = runUnderEveryIsa(argv)) return *status;
  conv::testCases(24, runInt8, runFused, runWeightOnly);
  conv::testRounding(runInt8);
  return check::report("kernels_conv_int8_test");
}
