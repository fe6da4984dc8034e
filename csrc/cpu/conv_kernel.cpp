#include "conv_kernel.h"

#include "variant.h"

namespace quanto::cpu {
namespace {

constexpr Variant<ConvKernel> kFloatKernels[] = {
#if defined(__x86_64__)
    {Isa::avx512, &kConvFloatAvx512},
    {Isa::avx2, &kConvFloatAvx2},
#endif
    {Isa::ref, &kConvFloatRef},
};

constexpr Variant<ConvKernel> kInt8Kernels[] = {
#if defined(__x86_64__)
    {Isa::vnni, &kConvInt8Vnni},
    {Isa::avxvnni, &kConvInt8Avxvnni},
    {Isa::avx2, &kConvInt8Avx2},
#endif
    {Isa::ref, &kConvInt8Ref},
};

}  // namespace

const ConvKernel& convFloatKernel() {
  static const ConvKernel& chosen = bestOf(kFloatKernels);
  return chosen;
}

const ConvKernel& convInt8Kernel() {
  static const ConvKernel& chosen = bestOf(kInt8Kernels);
  return chosen;
}

}  // namespace quanto::cpu
