#include "attention_loops.h"

#include "variant.h"

namespace quanto::cpu {
namespace {

constexpr Variant<AttentionLoops> kAttentionLoops[] = {
#if defined(__x86_64__)
    {Isa::avx512, &kAttentionLoopsAvx512},
    {Isa::avx2, &kAttentionLoopsAvx2},
#endif
    {Isa::ref, &kAttentionLoopsRef},
};

}  // namespace

const AttentionLoops& attentionLoops() {
  static const AttentionLoops& chosen = bestOf(kAttentionLoops);
  return chosen;
}

}  // namespace quanto::cpu
