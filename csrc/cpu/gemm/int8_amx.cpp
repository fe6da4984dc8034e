// AMX int8. test/native/amx_test.cpp runs the same kernel under emulation on processors without it.
#include "int8_amx_body.h"
#include "int8_scale_512.h"

namespace quanto::cpu {

const Int8Kernel kInt8Amx = makeAmxKernel("amx", scaleTile512);

}  // namespace quanto::cpu
