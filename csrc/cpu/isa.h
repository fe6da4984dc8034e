// Instruction-set levels of the CPU, in order; QUANTO_ISA caps every kernel at one of them.
//
// x86-64: ref < avx2 < avxvnni < avx512 < vnni < amx. A cap allows its own level and those before it that the CPU has. avxvnni (the
// 256-bit dot products) stands before avx512 although neither implies the other: a CPU may have avx512 without it, or it without avx512.
// aarch64: ref < neon < dotprod.
//   avx2     AVX2, FMA and F16C            avxvnni  AVX-VNNI
//   avx512   AVX-512 F, BW, DQ and VL      vnni     AVX-512 VNNI      amx  AMX tiles, int8 and bfloat16
#pragma once

namespace quanto::cpu {

enum class Isa { ref, avx2, avxvnni, avx512, vnni, amx, neon, dotprod };

// Whether the machine has the level and QUANTO_ISA allows it.
bool hasIsa(Isa isa);
// Null where hasIsa, else the reason in words.
const char* isaRefusal(Isa isa);
// "ref", "avx2", ...
const char* isaName(Isa isa);
// The best level in use.
Isa bestIsa();
// Null, or why QUANTO_ISA's value cannot be honoured; every level but ref is refused then.
const char* isaError();

}  // namespace quanto::cpu
