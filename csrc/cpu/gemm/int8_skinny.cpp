#include "int8_skinny.h"

#include "../variant.h"

namespace quanto::cpu {
namespace {

constexpr Variant<Int8Skinny> kInt8Skinny[] = {
#if defined(__x86_64__)
    {Isa::avx512, &kInt8SkinnyAvx512},
    {Isa::avx2, &kInt8SkinnyAvx2},
#endif
    {Isa::ref, &kInt8SkinnyRef},
};

}  // namespace

const Int8Skinny& int8Skinny() {
  static const Int8Skinny& chosen = bestOf(kInt8Skinny);
  return chosen;
}

}  // namespace quanto::cpu
