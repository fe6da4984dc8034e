#include "norm_loops_body.h"

namespace quanto::cpu {

constinit const NormLoops kNormLoopsAvx2 = makeNormLoops();

}  // namespace quanto::cpu
