#pragma once

#include "../backend.h"

namespace quanto::cpu {

const Backend* cpuBackend();

}  // namespace quanto::cpu
