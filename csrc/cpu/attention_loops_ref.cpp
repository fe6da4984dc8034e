#include "attention_loops_body.h"

namespace quanto::cpu {

constinit const AttentionLoops kAttentionLoopsRef = makeAttentionLoops();

}  // namespace quanto::cpu
