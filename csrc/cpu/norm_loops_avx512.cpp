#include "norm_loops_body.h"

namespace quanto::cpu {

constinit const NormLoops kNormLoopsAvx512 = makeNormLoops();

}  // namespace quanto::cpu
