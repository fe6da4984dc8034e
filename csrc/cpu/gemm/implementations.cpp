// The ordered lists of GEMM implementations: best first, reference last. A new instruction set is one file NAME_<isa>.cpp that defines a
// FloatKernel or an Int8Kernel (declared in kernels.h), and one row here.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../isa.h"
#include "gemm.h"
#include "kernels.h"
#include "weight_bits.h"

namespace quanto::cpu {
namespace {

template <class Kernel>
struct Implementation {
  Isa isa;
  const Kernel* kernel;
};

constexpr Implementation<FloatKernel> kFloatList[] = {
#if defined(__x86_64__)
    {Isa::avx512, &kFloatAvx512},
    {Isa::avx2, &kFloatAvx2},
#elif defined(__aarch64__)
    {Isa::neon, &kFloatNeon},
#endif
    {Isa::ref, &kFloatRef},
};

constexpr Implementation<Int8Kernel> kInt8List[] = {
#if defined(__x86_64__)
    {Isa::amx, &kInt8Amx}, {Isa::vnni, &kInt8Vnni}, {Isa::avxvnni, &kInt8Avxvnni}, {Isa::avx2, &kInt8Avx2},
#elif defined(__aarch64__)
    {Isa::dotprod, &kInt8Dotprod},
#endif
    {Isa::ref, &kInt8Ref},
};

constexpr Implementation<BitsKernel> kBitsList[] = {
#if defined(__x86_64__)
    {Isa::amx, &kBitsAmx}, {Isa::vnni, &kBitsVnni}, {Isa::avx512, &kBitsAvx512}, {Isa::avx2, &kBitsAvx2},
#endif
    {Isa::ref, &kBitsRef},
};

bool verbose() {
  const char* topics = std::getenv("QUANTO_VERBOSE");
  return topics && std::strstr(topics, "dispatch");
}

template <class Kernel, int count>
const Kernel& choose(const char* what, const Implementation<Kernel> (&list)[count]) {
  const bool print = verbose();
  for (const auto& [isa, kernel] : list) {
    const char* refusal = isaRefusal(isa);
    if (print) std::fprintf(stderr, "quanto: gemm %s: %s %s\n", what, kernel->name, refusal ? refusal : "chosen");
    if (!refusal) return *kernel;
  }
  return *list[count - 1].kernel;
}

}  // namespace

const FloatKernel& floatKernel() {
  static const FloatKernel& chosen = choose("float32", kFloatList);
  return chosen;
}

const Int8Kernel& int8Kernel() {
  static const Int8Kernel& chosen = choose("int8", kInt8List);
  return chosen;
}

const BitsKernel& bitsKernel() {
  static const BitsKernel& chosen = choose("bits", kBitsList);
  return chosen;
}

const char* gemmDescription() {
  struct Text {
    char chars[128];
    Text() {
      const char *real = floatKernel().name, *integer = int8Kernel().name;
      const bool digits = int8Kernel().digits, always = digits && int8Kernel().digitRows == INT64_MAX;
      std::snprintf(chars, sizeof chars, "float32: %s, int8: %s, w8: %s%s%s, bits: %s", real, integer, digits ? integer : real,
                    digits && !always ? "/" : "", digits && !always ? real : "", bitsKernel().name);
    }
  };
  static const Text text;
  return text.chars;
}

}  // namespace quanto::cpu
