#include "vector_math.h"
//
#include "elementwise_loops.h"

namespace quanto::cpu {

constinit const ElementwiseLoops<float> kFloatLoopsAvx2 = makeLoops<float>();
constinit const CodeLoops kCodeLoopsAvx2 = makeCodeLoops<int8_t>();

}  // namespace quanto::cpu
