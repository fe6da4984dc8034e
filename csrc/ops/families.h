// Every op family, for the binding.
#pragma once

#include "binary.h"
#include "creation.h"
#include "inspect.h"
#include "matmul.h"
#include "shape.h"
#include "transfer.h"
#include "unary.h"
