#include "elementwise.h"

#include "../scalar_math.h"
#include "elementwise_loops.h"
#include "variant.h"

namespace quanto::cpu {
namespace {

constexpr Variant<ElementwiseLoops<float>> kFloatLoops[] = {
#if defined(__x86_64__)
    {Isa::avx512, &kFloatLoopsAvx512},
    {Isa::avx2, &kFloatLoopsAvx2},
#endif
    {Isa::ref, &kFloatLoopsRef},
};

constexpr Variant<CodeLoops> kCodeLoops[] = {
#if defined(__x86_64__)
    {Isa::avx512, &kCodeLoopsAvx512},
    {Isa::avx2, &kCodeLoopsAvx2},
#endif
    {Isa::ref, &kCodeLoopsRef},
};

}  // namespace

const CodeLoops& codeLoops() {
  static const CodeLoops& chosen = bestOf(kCodeLoops);
  return chosen;
}

template <>
const ElementwiseLoops<float>& elementwiseLoops<float>() {
  static const ElementwiseLoops<float>& chosen = bestOf(kFloatLoops);
  return chosen;
}

template <>
const ElementwiseLoops<int64_t>& elementwiseLoops<int64_t>() {
  static constexpr ElementwiseLoops<int64_t> kLoops = makeLoops<int64_t>();
  return kLoops;
}

}  // namespace quanto::cpu
