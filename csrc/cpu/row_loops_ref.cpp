#include "row_loops_body.h"

namespace quanto::cpu {

constinit const RowLoops kRowLoopsRef = makeRowLoops();

}  // namespace quanto::cpu
