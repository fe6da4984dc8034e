import { matmulCases, matmulFailures } from '../cases/matmul';
import { quantizedLinearCases } from '../cases/quantized-linear';
import { runCases } from '../harness/run-cases';

runCases([...matmulCases, ...quantizedLinearCases], matmulFailures);
