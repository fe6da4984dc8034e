#include "attention_loops_body.h"

namespace quanto::cpu {

constinit const AttentionLoops kAttentionLoopsAvx2 = makeAttentionLoops();

}  // namespace quanto::cpu
