// Instruction-set levels of the CPU, in order; QUANTO_ISA caps every kernel at one of them.
#pragma once

namespace quanto::cpu {

enum class Isa { ref, avx2, avxvnni, avx512, vnni, amx, neon, dotprod };

// Whether the machine has the level and QUANTO_ISA allows it.
bool hasIsa(Isa isa);
// "ref", "avx2", ...
const char* isaName(Isa isa);
// The best level in use.
Isa bestIsa();
// Null, or why QUANTO_ISA's value cannot be honoured.
const char* isaError();

}  // namespace quanto::cpu
