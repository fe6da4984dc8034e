#include "row_loops.h"

#include "variant.h"

namespace quanto::cpu {
namespace {

constexpr Variant<RowLoops> kRowLoops[] = {
#if defined(__x86_64__)
    {Isa::avx512, &kRowLoopsAvx512},
    {Isa::avx2, &kRowLoopsAvx2},
#endif
    {Isa::ref, &kRowLoopsRef},
};

}  // namespace

const RowLoops& rowLoops() {
  static const RowLoops& chosen = bestOf(kRowLoops);
  return chosen;
}

}  // namespace quanto::cpu
