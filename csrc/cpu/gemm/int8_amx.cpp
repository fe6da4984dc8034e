// AMX int8. Written on a machine without it: run so far under emulation alone (test/native/amx_test.cpp), which says nothing of its speed.
#include "int8_amx_body.h"

namespace quanto::cpu {

const Int8Kernel kInt8Amx = makeAmxKernel("amx");

}  // namespace quanto::cpu
