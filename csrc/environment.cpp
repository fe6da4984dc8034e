#include "environment.h"

namespace quanto {

thread_local Environment* Environment::current_ = nullptr;

}  // namespace quanto
