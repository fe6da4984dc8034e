// One implementation for each instruction set, in a list: best first, reference last.
#pragma once

#include "isa.h"

namespace quanto::cpu {

template <class Kernels>
struct Variant {
  Isa isa;
  const Kernels* kernels;
};

// The first that the machine has and QUANTO_ISA allows.
template <class Kernels, int count>
const Kernels& bestOf(const Variant<Kernels> (&list)[count]) {
  for (const Variant<Kernels>& each : list) {
    if (hasIsa(each.isa)) return *each.kernels;
  }
  return *list[count - 1].kernels;
}

}  // namespace quanto::cpu
