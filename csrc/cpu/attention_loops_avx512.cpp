#include "attention_loops_body.h"

namespace quanto::cpu {

constinit const AttentionLoops kAttentionLoopsAvx512 = makeAttentionLoops();

}  // namespace quanto::cpu
