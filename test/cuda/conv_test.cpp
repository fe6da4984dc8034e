// Convolutions of int8 codes, and those with steps behind them, on the emulated device.
#include "../../cuda/emulator/runtime.h"
#include "../native/conv_cases.h"
#include "on_device.h"

using namespace quanto;
using namespace test;

namespace {

// A weight on the device, row-major or packed.
class WeightOnDevice {
 public:
  // Codes begin where memory is not aligned.
  WeightOnDevice(const Tensor& weight, bool packs) : rows_(weight, 1), form_(packedMemory(weight.shape())) {
    view_ = *static_cast<const View*>(rows_);
    if (!packs) return;
    CHECK(device().packConvWeight(queue, rows_, form_) == Status::ok, "packConvWeight failed");
    Tensor back(DType::int8, weight.shape());
    const OnDevice unpacked(back);
    view_.data = static_cast<const View*>(form_)->data;
    view_.layout = Layout::packed;
    CHECK(device().unpackConvWeight(queue, &view_, unpacked) == Status::ok, "unpackConvWeight failed");
    unpacked.read(back);
    CHECK(back.values() == weight.values(), "unpackConvWeight gives other codes");
  }
  operator const View*() const { return &view_; }

 private:
  static Tensor packedMemory(const Shape& shape) {
    return Tensor(DType::uint8, {static_cast<int64_t>(device().packedConvBytes(shape[0], shape[1], shape[2] * shape[3]))});
  }
  const OnDevice rows_, form_;
  View view_;
};

void runInt8(const conv::Call& call, bool packs, Tensor& out) {
  const OnDevice src(*call.src, call.src->dtype() == DType::int8 ? 1 : 0), srcScale(*call.srcScale), scale(*call.scale), target(out);
  const WeightOnDevice weight(*call.weight, packs);
  const MaybeOnDevice bias(call.bias), normScale(call.normScale), normShift(call.normShift), addend(call.addend), outScale(call.outScale);
  CHECK(device().conv2dInt8(queue, src, srcScale, weight, scale, bias, normScale, normShift, addend, target, outScale, call.window,
                            call.activation) == Status::ok,
        "conv2dInt8 failed");
  target.read(out);
}

void runFused(const conv::Call& call, Tensor& out) {
  const OnDevice src(*call.src), weight(*call.weight), target(out);
  const MaybeOnDevice bias(call.bias), normScale(call.normScale), normShift(call.normShift), addend(call.addend);
  CHECK(device().conv2dFused(queue, src, weight, bias, normScale, normShift, addend, target, call.window, call.activation) == Status::ok,
        "conv2dFused failed");
  target.read(out);
}

void runWeightOnly(const conv::Call& call, bool packs, Tensor& out) {
  const OnDevice src(*call.src), scale(*call.scale), target(out);
  const WeightOnDevice weight(*call.weight, packs);
  const MaybeOnDevice bias(call.bias), normScale(call.normScale), normShift(call.normShift), addend(call.addend);
  CHECK(device().conv2dWeightOnly(queue, src, weight, scale, bias, normScale, normShift, addend, target, call.window, call.activation) ==
            Status::ok,
        "conv2dWeightOnly failed");
  target.read(out);
}

// Each step rounded to float32, as the slots are documented.
void testBatchNorm() {
  const double eps = 1e-5;
  for (const int64_t channels : {0, 1, 7, 33, 127, 1000}) {
    for (const DType dtype : kFloats) {
      for (const int given : {0, 1, 2, 3}) {
        Tensor mean(dtype, {channels}), variance(dtype, {channels}), weight(dtype, {channels}), bias(dtype, {channels});
        Tensor scale(DType::float32, {channels}), shift(DType::float32, {channels});
        for (Tensor* each : {&mean, &weight, &bias}) each->randomize(conv::random_);
        variance.fill([](int64_t) { return std::fabs(conv::random_.symmetric()); });
        const OnDevice means(mean), variances(variance), scales(scale), shifts(shift);
        const MaybeOnDevice weights(given & 1 ? &weight : nullptr), biases(given & 2 ? &bias : nullptr);
        CHECK(device().batchNormAffine(queue, means, variances, weights, biases, scales, shifts, eps) == Status::ok, "batchNormAffine");
        scales.read(scale);
        shifts.read(shift);
        const auto scaleOf = [&](int64_t i) {
          const float rstd = 1 / std::sqrt(static_cast<float>(variance[i]) + static_cast<float>(eps));
          return given & 1 ? rstd * static_cast<float>(weight[i]) : rstd;
        };
        checkEach("the scale of a batch norm", scale, 0, scaleOf);
        checkEach("the shift of a batch norm", shift, 0, [&](int64_t i) {
          const float offset = -(scaleOf(i) * static_cast<float>(mean[i]));
          return given & 2 ? offset + static_cast<float>(bias[i]) : offset;
        });

        Tensor src(dtype, {2, channels, 5}), out(dtype, {2, channels, 5}), expected(dtype, {2, channels, 5});
        src.randomize(conv::random_);
        const OnDevice images(src), target(out);
        CHECK(device().batchNorm(queue, images, scales, shifts, target) == Status::ok, "batchNorm");
        target.read(out);
        expected.fill([&](int64_t i) {
          const int64_t channel = i / 5 % channels;
          return static_cast<float>(src[i]) * static_cast<float>(scale[channel]) + static_cast<float>(shift[channel]);
        });
        checkEach("a batch norm", out, 0, [&](int64_t i) { return expected[i]; });
      }
    }
  }
}

}  // namespace

int main() {
  unsetenv("QUANTO_VISIBLE_DEVICES");
  queue = device().openQueue(0);
  conv::testCases(24, runInt8, runFused, runWeightOnly);
  conv::testRounding(runInt8);
  testBatchNorm();
  CHECK(emulator::takeComplaints() == nullptr, "the convolutions misuse nothing");
  device().closeQueue(queue);
  CHECK(emulator::liveDeviceBytes() == 0, "%zu bytes are left", emulator::liveDeviceBytes());
  return check::report("conv");
}
