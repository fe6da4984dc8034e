// Every op family, for the binding.
#pragma once

#include "attention.h"
#include "binary.h"
#include "conv.h"
#include "conv_fused.h"
#include "creation.h"
#include "index.h"
#include "inspect.h"
#include "matmul.h"
#include "norm.h"
#include "optimizer.h"
#include "quantize.h"
#include "random.h"
#include "reduce.h"
#include "shape.h"
#include "transfer.h"
#include "unary.h"
