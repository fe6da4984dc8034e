#include "row_loops_body.h"

namespace quanto::cpu {

constinit const RowLoops kRowLoopsAvx2 = makeRowLoops();

}  // namespace quanto::cpu
