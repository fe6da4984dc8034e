// Every slot of kernels.def as a function of the CPU backend.
#pragma once

#include "../backend.h"

namespace quanto::cpu {

#define KERNEL(name, parameters) Status name parameters;
#include "../kernels.def"
#undef KERNEL

}  // namespace quanto::cpu
