#include "norm_loops.h"

#include "variant.h"

namespace quanto::cpu {
namespace {

constexpr Variant<NormLoops> kNormLoops[] = {
#if defined(__x86_64__)
    {Isa::avx512, &kNormLoopsAvx512},
    {Isa::avx2, &kNormLoopsAvx2},
#endif
    {Isa::ref, &kNormLoopsRef},
};

}  // namespace

const NormLoops& normLoops() {
  static const NormLoops& chosen = bestOf(kNormLoops);
  return chosen;
}

}  // namespace quanto::cpu
