#include "int8_skinny_body.h"

namespace quanto::cpu {

constinit const Int8Skinny kInt8SkinnyAvx512 = makeInt8Skinny();

}  // namespace quanto::cpu
