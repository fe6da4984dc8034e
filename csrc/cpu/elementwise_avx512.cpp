#include "vector_math.h"
//
#include "elementwise_loops.h"

namespace quanto::cpu {

constinit const ElementwiseLoops<float> kFloatLoopsAvx512 = makeLoops<float>();
constinit const CodeLoops kCodeLoopsAvx512 = makeCodeLoops<int8_t>();

}  // namespace quanto::cpu
