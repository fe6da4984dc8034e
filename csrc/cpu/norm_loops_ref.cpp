#include "norm_loops_body.h"

namespace quanto::cpu {

constinit const NormLoops kNormLoopsRef = makeNormLoops();

}  // namespace quanto::cpu
