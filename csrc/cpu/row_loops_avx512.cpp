#include "row_loops_body.h"

namespace quanto::cpu {

constinit const RowLoops kRowLoopsAvx512 = makeRowLoops();

}  // namespace quanto::cpu
