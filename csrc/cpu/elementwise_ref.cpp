#include "vector_math.h"
//
#include "elementwise_loops.h"

namespace quanto::cpu {

constinit const ElementwiseLoops<float> kFloatLoopsRef = makeLoops<float>();
constinit const CodeLoops kCodeLoopsRef = makeCodeLoops<int8_t>();

}  // namespace quanto::cpu
